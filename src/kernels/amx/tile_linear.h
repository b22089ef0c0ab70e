#pragma once

#include "kernels/amx/tile_weights.h"
#include "kernels/amx/token_tiles.h"

// The products of shared/field_tile.h by tiles: 16 tokens by 16 rows by the in-features of an
// activation group, whose sums are the same exact integers; they are folded in the same order. The
// fields of ternary weights enter as what they are instead of 4^f times that, which shows in no
// bit: scales are far from the ends of the floats' range (shared/quantize.h).
namespace {

constexpr size_t kBlockTiles = 4;  // tiles of tokens that share the decoding

// Tile registers: both planes of activations, the weights of two fields, also 127 times those, and
// the sums of two fields.
enum : int { kFirst = 0, kSecond, kOnce, kOften = kOnce + 2, kSums = kOften + 2 };
static_assert(kSums + 2 == kTileRegisters, "one register each");

// A group of 32 in-features fills half of a tile.
inline TileConfig tile_config(size_t tokens, size_t group) {
  const size_t step = group < kTileRowBytes ? group : kTileRowBytes;
  TileConfig config;
  config.set(kFirst, tokens, step);
  config.set(kSecond, tokens, step);
  for (size_t tile = kOnce; tile < kSums; ++tile) config.set(tile, step / 4, kTileRowBytes);
  for (size_t tile = kSums; tile < kSums + 2; ++tile) config.set(tile, tokens, kTileRowBytes);
  return config;
}

struct TileSums {
  alignas(64) int32_t field[kFields][kTileRows][16];
};

struct TileScratch {
  ChunkWeights weights;
  TileSums sums[2];
  alignas(64) float inner[kBlockTiles][kTileRows][kFieldRows];
  alignas(64) float totals[kBlockTiles][kTileRows][kFieldRows];
};

// Fields Field and Field + 1 of a chunk of Steps tiles, by the tokens whose codes begin at `first`
// and `second`.
template <ActForm Act, size_t Steps, int Field>
inline void multiply_fields(const int8_t* first, const int8_t* second, size_t pitch,
                            const ChunkWeights& weights, TileSums& sums) {
  tile_zero<kSums>();
  tile_zero<kSums + 1>();
#pragma GCC unroll 2
  for (size_t step = 0; step < Steps; ++step) {
    tile_load<kOnce>(weights.once[step][Field].rows, kTileRowBytes);
    tile_load<kOnce + 1>(weights.once[step][Field + 1].rows, kTileRowBytes);
    tile_load<kSecond>(second + step * kTileRowBytes, pitch);
    tile_dot<kSums, kSecond, kOnce>();
    tile_dot<kSums + 1, kSecond, kOnce + 1>();
    tile_load<kFirst>(first + step * kTileRowBytes, pitch);
    if (Act == ActForm::kInt16) {
      tile_load<kOften>(weights.often[step][Field].rows, kTileRowBytes);
      tile_load<kOften + 1>(weights.often[step][Field + 1].rows, kTileRowBytes);
      tile_dot<kSums, kFirst, kOften>();
      tile_dot<kSums + 1, kFirst, kOften + 1>();
      tile_dot<kSums, kFirst, kOften>();
      tile_dot<kSums + 1, kFirst, kOften + 1>();
    } else {
      tile_dot<kSums, kFirst, kOnce>();
      tile_dot<kSums + 1, kFirst, kOnce + 1>();
    }
  }
  tile_store<kSums>(sums.field[Field], kTileRowBytes);
  tile_store<kSums + 1>(sums.field[Field + 1], kTileRowBytes);
}

// One chunk of one panel by the tile of tokens that begins at `token`.
template <ActForm Act>
inline void multiply_chunk(const QuantizedIo& io, size_t token, const Chunk& chunk,
                           const ChunkWeights& weights, TileSums& sums) {
  static_assert(kFields == 4 && kMostSteps == 2, "every case is below");
  const int8_t* first = io.x.codes + token * io.x.pitch + 2 * chunk.begin;
  const int8_t* second = first + chunk.size;
  if (chunk.size > kTileRowBytes) {
    multiply_fields<Act, 2, 0>(first, second, io.x.pitch, weights, sums);
    multiply_fields<Act, 2, 2>(first, second, io.x.pitch, weights, sums);
  } else {
    multiply_fields<Act, 1, 0>(first, second, io.x.pitch, weights, sums);
    multiply_fields<Act, 1, 2>(first, second, io.x.pitch, weights, sums);
  }
}

// One panel by a block of tiles; tile i begins at token starts[i] and has `tokens`. The sums of one
// tile are folded while the next is multiplied.
template <ActForm Act, class Weights>
inline void tile_block(const Weights& w, size_t panel, const QuantizedIo& io, const size_t* starts,
                       size_t tiles, size_t tokens, TileScratch& scratch) {
  const size_t groups = w.cols / io.x.group;
  for (size_t k = 0; k < w.cols; k += io.x.group) {
    const Chunk chunk = chunk_at(w, panel, k, io.x.group);
    decode_chunk<Act>(w, panel, chunk, scratch.weights);
    multiply_chunk<Act>(io, starts[0], chunk, scratch.weights, scratch.sums[0]);
    for (size_t i = 0; i < tiles; ++i) {
      const size_t next = i + 1;
      if (next < tiles) {
        multiply_chunk<Act>(io, starts[next], chunk, scratch.weights, scratch.sums[next % 2]);
      }
      const TileSums& sums = scratch.sums[i % 2];
      fold(tokens, chunk, io.x.scales + starts[i] * groups + chunk.index(), groups,
           fold_rows(w, panel, chunk, io, starts[i], scratch.inner[i][0], scratch.totals[i][0]),
           [&](size_t t, size_t f) { return I16x{_mm512_load_si512(sums.field[f][t])}; });
    }
  }
  for (size_t i = 0; i < tiles; ++i) {
    copy_cut_panel(w, panel, io, starts[i], tokens, scratch.totals[i][0]);
  }
}

// Panels [first, last) by all tokens.
template <ActForm Act, class Weights>
void tile_linear(const Weights& w, size_t first, size_t last, const QuantizedIo& io) {
  const size_t tokens = tile_tokens(io.tokens);
  configure_tiles(tile_config(tokens, io.x.group));
  TileScratch scratch;
  for (size_t begin = 0; begin < io.tokens; begin += kBlockTiles * tokens) {
    const TokenTiles<kBlockTiles> tiles(begin, io.tokens);
    for (size_t panel = first; panel < last; ++panel) {
      tile_block<Act>(w, panel, io, tiles.starts, tiles.count, tokens, scratch);
    }
  }
  release_tiles();
}

}  // namespace
