#pragma once

#include "kernels/amx/tile_products.h"
#include "kernels/amx/token_tiles.h"

// The products of shared/field_tile.h by tiles: 16 tokens by 16 rows by the in-features of an
// activation group, whose sums are the same exact integers; they are folded in the same order. The
// fields of ternary weights enter as what they are instead of 4^f times that, which shows in no
// bit: scales are far from the ends of the floats' range (shared/quantize.h).
namespace {

constexpr size_t kBlockTiles = 4;  // tiles of tokens that share the decoding

struct TileScratch {
  ChunkWeights weights[2];  // of this chunk and of the next, where that is decoded ahead
  TileSums sums[2];
  alignas(64) float inner[kBlockTiles][kTileRows][kFieldRows];
  alignas(64) float totals[kBlockTiles][kTileRows][kFieldRows];
};

// One panel by a block of tiles; tile i begins at token starts[i] and has `tokens`. The sums of one
// tile are folded while the next is multiplied. Ahead: how many lines of the next chunk are decoded
// after each product; 0: all of them before its first.
template <ActForm Act, class Form, bool Whole, size_t Ahead>
inline void tile_block_ahead(const typename Form::Weights& w, size_t panel, const QuantizedIo& io,
                             const size_t* starts, size_t tiles, size_t tokens,
                             TileScratch& scratch) {
  const size_t groups = w.cols / io.x.group;
  const auto chunk_of = [&](size_t group) {
    return chunk_at(w, panel, group * io.x.group, io.x.group);
  };
  const auto weights_of = [&](size_t group) -> ChunkWeights& {
    return scratch.weights[Ahead > 0 ? group % 2 : 0];
  };
  using Decoder = ChunkDecoder<Act, Form>;
  Decoder decoder(w, panel, chunk_of(0), weights_of(0));
  TileFold<Whole> fold;
  size_t side = 0;  // of scratch.sums that is written next
  for (size_t group = 0; group < groups; ++group) {
    const Chunk chunk = chunk_of(group);
    decoder.all();  // that was not decoded ahead
    if (group + 1 < groups) {
      decoder = Decoder(w, panel, chunk_of(group + 1), weights_of(group + 1));
    }
    for (size_t i = 0; i < tiles; ++i, side = 1 - side) {
      multiply_chunk<Act>(
          io, starts[i], chunk, weights_of(group),
          scratch.sums[side], [&]<size_t Slots>(size_t slot) __attribute__((always_inline)) {
            fold.template share<Slots>(slot);
            decoder.some(Ahead);
          });
      fold = TileFold<Whole>(
          scratch.sums[side], tokens, chunk, io.x.scales + starts[i] * groups + group, groups,
          fold_rows(w, panel, chunk, io, starts[i], scratch.inner[i][0], scratch.totals[i][0]));
    }
  }
  fold.all();
  for (size_t i = 0; i < tiles; ++i) {
    copy_cut_panel(w, panel, io, starts[i], tokens, scratch.totals[i][0]);
  }
}

// The same. The products of one or two tiles hide the decoding of the next chunk. With more, or
// with kInt16, whose decoded weights are twice as large, a second copy costs more first-level cache
// than that saves (docs/adr/0034).
template <ActForm Act, class Form, bool Whole>
inline void tile_block(const typename Form::Weights& w, size_t panel, const QuantizedIo& io,
                       const TokenTiles<kBlockTiles>& tiles, size_t tokens, TileScratch& scratch) {
  const size_t* starts = tiles.starts;
  if constexpr (Act == ActForm::kInt8) {
    switch (tiles.count) {
      case 1:
        return tile_block_ahead<Act, Form, Whole, 2>(w, panel, io, starts, 1, tokens, scratch);
      case 2:
        return tile_block_ahead<Act, Form, Whole, 1>(w, panel, io, starts, 2, tokens, scratch);
    }
  }
  tile_block_ahead<Act, Form, Whole, 0>(w, panel, io, starts, tiles.count, tokens, scratch);
}

template <ActForm Act, class Form, bool Whole>
void tile_panels(const typename Form::Weights& w, size_t first, size_t last,
                 const QuantizedIo& io) {
  const size_t tokens = tile_tokens(io.tokens);
  configure_tiles(tile_config(tokens, io.x.group));
  TileScratch scratch;
  for (size_t begin = 0; begin < io.tokens; begin += kBlockTiles * tokens) {
    const TokenTiles<kBlockTiles> tiles(begin, io.tokens);
    for (size_t panel = first; panel < last; ++panel) {
      tile_block<Act, Form, Whole>(w, panel, io, tiles, tokens, scratch);
    }
  }
  release_tiles();
}

// Panels [first, last) by all tokens.
template <ActForm Act, class Form>
void tile_linear(const typename Form::Weights& w, size_t first, size_t last,
                 const QuantizedIo& io) {
  if (w.group == io.x.group) return tile_panels<Act, Form, true>(w, first, last, io);
  tile_panels<Act, Form, false>(w, first, last, io);
}

}  // namespace
