#pragma once

#include "kernels/amx/tile_fold.h"
#include "kernels/amx/tile_weights.h"
#include "kernels/amx/token_tiles.h"

// The products of shared/field_tile.h by tiles: 16 tokens by 16 rows by the in-features of an
// activation group, whose sums are the same exact integers; they are folded in the same order. The
// fields of ternary weights enter as what they are instead of 4^f times that, which shows in no
// bit: scales are far from the ends of the floats' range (shared/quantize.h).
namespace {

constexpr size_t kBlockTiles = 4;  // tiles of tokens that share the decoding

// Tile registers: both planes of activations, the weights of two fields, the sums of all four.
enum : int { kFirst = 0, kSecond, kWeights, kSums = kWeights + 2 };
static_assert(kSums + kFields == kTileRegisters, "one register each");

// A group of 32 in-features fills half of a tile.
inline TileConfig tile_config(size_t tokens, size_t group) {
  const size_t step = group < kTileRowBytes ? group : kTileRowBytes;
  TileConfig config;
  config.set(kFirst, tokens, step);
  config.set(kSecond, tokens, step);
  for (size_t tile = kWeights; tile < kSums; ++tile) config.set(tile, step / 4, kTileRowBytes);
  for (size_t tile = kSums; tile < kTileRegisters; ++tile) config.set(tile, tokens, kTileRowBytes);
  return config;
}

struct TileScratch {
  ChunkWeights weights;
  TileSums sums[2];
  alignas(64) float inner[kBlockTiles][kTileRows][kFieldRows];
  alignas(64) float totals[kBlockTiles][kTileRows][kFieldRows];
};

// What one tile of tokens brings to a chunk.
struct TilePlanes {
  const int8_t* first;  // planes of the first token
  const int8_t* second;
  size_t pitch;  // from one token to the next
};

// Adds the products with fields Field and Field + 1 of the in-features of one tile. After every
// one, `fold` goes on by so many tokens that a chunk of Steps tiles is enough for it.
template <ActForm Act, size_t Steps, int Field>
[[gnu::always_inline]] inline void multiply_fields(const ChunkWeights& weights, size_t step,
                                                   TileFold& fold) {
  constexpr int kSum = kSums + Field;
  constexpr size_t kProducts = kFields * Steps * (Act == ActForm::kInt16 ? 3 : 2);
  constexpr size_t kTokens = (kTileRows + kProducts - 1) / kProducts;
  const auto dots = [&]<int Plane>() __attribute__((always_inline)) {
    tile_dot<kSum, Plane, kWeights>();
    fold.next<kTokens>();
    tile_dot<kSum + 1, Plane, kWeights + 1>();
    fold.next<kTokens>();
  };
  tile_load<kWeights>(weights.once[step][Field].rows, kTileRowBytes);
  tile_load<kWeights + 1>(weights.once[step][Field + 1].rows, kTileRowBytes);
  dots.template operator()<kSecond>();
  if (Act == ActForm::kInt16) {
    tile_load<kWeights>(weights.often[step][Field].rows, kTileRowBytes);
    tile_load<kWeights + 1>(weights.often[step][Field + 1].rows, kTileRowBytes);
    dots.template operator()<kFirst>();
  }
  dots.template operator()<kFirst>();
}

// The sums of a chunk of Steps tiles of in-features.
template <ActForm Act, size_t Steps>
[[gnu::always_inline]] inline void multiply_steps(const TilePlanes& x, const ChunkWeights& weights,
                                                  TileSums& sums, TileFold& fold) {
  tile_zero<kSums>();
  tile_zero<kSums + 1>();
  tile_zero<kSums + 2>();
  tile_zero<kSums + 3>();
#pragma GCC unroll 2
  for (size_t step = 0; step < Steps; ++step) {
    tile_load<kSecond>(x.second + step * kTileRowBytes, x.pitch);
    tile_load<kFirst>(x.first + step * kTileRowBytes, x.pitch);
    multiply_fields<Act, Steps, 0>(weights, step, fold);
    if (step + 1 == Steps) {  // not all at the end, where products would wait for the stores
      tile_store<kSums>(sums.field[0], kTileRowBytes);
      tile_store<kSums + 1>(sums.field[1], kTileRowBytes);
    }
    multiply_fields<Act, Steps, 2>(weights, step, fold);
  }
  tile_store<kSums + 2>(sums.field[2], kTileRowBytes);
  tile_store<kSums + 3>(sums.field[3], kTileRowBytes);
}

// One chunk of one panel by the tile of tokens that begins at `token`.
template <ActForm Act>
inline void multiply_chunk(const QuantizedIo& io, size_t token, const Chunk& chunk,
                           const ChunkWeights& weights, TileSums& sums, TileFold& fold) {
  static_assert(kFields == 4 && kMostSteps == 2, "every case is above or below");
  const int8_t* first = io.x.codes + token * io.x.pitch + 2 * chunk.begin;
  const TilePlanes x{first, first + chunk.size, io.x.pitch};
  if (chunk.size > kTileRowBytes) {
    multiply_steps<Act, 2>(x, weights, sums, fold);
  } else {
    multiply_steps<Act, 1>(x, weights, sums, fold);
  }
}

// One panel by a block of tiles; tile i begins at token starts[i] and has `tokens`. The sums of one
// tile are folded while the next is multiplied.
template <ActForm Act, class Weights>
inline void tile_block(const Weights& w, size_t panel, const QuantizedIo& io, const size_t* starts,
                       size_t tiles, size_t tokens, TileScratch& scratch) {
  const size_t groups = w.cols / io.x.group;
  TileFold fold;
  size_t side = 0;  // of scratch.sums that is written next
  for (size_t k = 0; k < w.cols; k += io.x.group) {
    const Chunk chunk = chunk_at(w, panel, k, io.x.group);
    decode_chunk<Act>(w, panel, chunk, scratch.weights);
    for (size_t i = 0; i < tiles; ++i, side = 1 - side) {
      multiply_chunk<Act>(io, starts[i], chunk, scratch.weights, scratch.sums[side], fold);
      fold = TileFold(
          scratch.sums[side], tokens, chunk, io.x.scales + starts[i] * groups + chunk.index(),
          groups,
          fold_rows(w, panel, chunk, io, starts[i], scratch.inner[i][0], scratch.totals[i][0]));
    }
  }
  fold.next<kTileRows>();
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
