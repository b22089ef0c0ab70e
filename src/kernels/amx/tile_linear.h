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
  TileRows inner[kBlockTiles];
  TileRows totals[kBlockTiles];
};

// What one tile of tokens brings to a chunk.
struct TilePlanes {
  const int8_t* first;  // planes of the first token
  const int8_t* second;
  size_t pitch;  // from one token to the next
};

// Adds the products with fields Field and Field + 1 of the in-features of one tile, and calls
// between() after every one.
template <ActForm Act, int Field, class Between>
[[gnu::always_inline]] inline void multiply_fields(const ChunkWeights& weights, size_t step,
                                                   const Between& between) {
  constexpr int kSum = kSums + Field;
  const auto dots = [&]<int Plane>() __attribute__((always_inline)) {
    tile_dot<kSum, Plane, kWeights>();
    between();
    tile_dot<kSum + 1, Plane, kWeights + 1>();
    between();
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

// The sums of a chunk of Steps tiles of in-features, and in between all of `fold`.
template <ActForm Act, size_t Steps, class Fold>
[[gnu::always_inline]] inline void multiply_steps(const TilePlanes& x, const ChunkWeights& weights,
                                                  TileSums& sums, Fold& fold) {
  constexpr size_t kProducts = kFields * Steps * (Act == ActForm::kInt16 ? 3 : 2);
  constexpr size_t kTokens = (kTileRows + kProducts - 1) / kProducts;
  size_t token = 0;
  const auto fold_some = [&]() __attribute__((always_inline)) {
    for (size_t i = 0; i < kTokens && token < kTileRows; ++i) fold.token(token++);
  };
  tile_zero<kSums>();
  tile_zero<kSums + 1>();
  tile_zero<kSums + 2>();
  tile_zero<kSums + 3>();
#pragma GCC unroll 2
  for (size_t step = 0; step < Steps; ++step) {
    tile_load<kSecond>(x.second + step * kTileRowBytes, x.pitch);
    tile_load<kFirst>(x.first + step * kTileRowBytes, x.pitch);
    multiply_fields<Act, 0>(weights, step, fold_some);
    if (step + 1 == Steps) {  // not all at the end, where products would wait for the stores
      tile_store<kSums>(sums.field[0], kTileRowBytes);
      tile_store<kSums + 1>(sums.field[1], kTileRowBytes);
    }
    multiply_fields<Act, 2>(weights, step, fold_some);
  }
  tile_store<kSums + 2>(sums.field[2], kTileRowBytes);
  tile_store<kSums + 3>(sums.field[3], kTileRowBytes);
}

// One chunk of one panel by the tile of tokens that begins at `token`.
template <ActForm Act, class Fold>
[[gnu::always_inline]] inline void multiply_chunk(const QuantizedIo& io, size_t token,
                                                  const Chunk& chunk, const ChunkWeights& weights,
                                                  TileSums& sums, Fold& fold) {
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
template <ActForm Act, bool Whole, class Weights>
inline void tile_block(const Weights& w, size_t panel, const QuantizedIo& io, const size_t* starts,
                       size_t tiles, size_t tokens, TileScratch& scratch) {
  const size_t groups = w.cols / io.x.group;
  const bool cut = (panel + 1) * kFieldRows > w.rows;
  TileFold<Whole> fold;
  size_t side = 0;  // of scratch.sums that is written next
  for (size_t group = 0; group < groups; ++group) {
    const Chunk chunk = chunk_at(w, panel, group * io.x.group, io.x.group);
    decode_chunk<Act>(w, panel, chunk, scratch.weights);
    for (size_t i = 0; i < tiles; ++i, side = 1 - side) {
      multiply_chunk<Act>(io, starts[i], chunk, scratch.weights, scratch.sums[side], fold);
      TileRows& totals = scratch.totals[i];
      TileTarget target{&scratch.inner[i], &totals, totals.token[0], kFieldRows};
      if (chunk.begin < w.group) target.before = &kNoRows;
      if (group + 1 == groups && !cut) {
        target.after = io.y + starts[i] * io.ldy + panel * kFieldRows;
        target.stride = io.ldy;
      }
      const float* scales = io.x.scales + starts[i] * groups + group;
      fold = TileFold<Whole>(scratch.sums[side], tokens, chunk, scales, groups, target);
    }
  }
  for (size_t t = 0; t < tokens; ++t) fold.token(t);
  for (size_t i = 0; cut && i < tiles; ++i) {
    copy_cut_panel(w, panel, io, starts[i], tokens, scratch.totals[i].token[0]);
  }
}

template <ActForm Act, bool Whole, class Weights>
void tile_panels(const Weights& w, size_t first, size_t last, const QuantizedIo& io) {
  const size_t tokens = tile_tokens(io.tokens);
  configure_tiles(tile_config(tokens, io.x.group));
  TileScratch scratch;
  for (size_t begin = 0; begin < io.tokens; begin += kBlockTiles * tokens) {
    const TokenTiles<kBlockTiles> tiles(begin, io.tokens);
    for (size_t panel = first; panel < last; ++panel) {
      tile_block<Act, Whole>(w, panel, io, tiles.starts, tiles.count, tokens, scratch);
    }
  }
  release_tiles();
}

// Panels [first, last) by all tokens.
template <ActForm Act, class Weights>
void tile_linear(const Weights& w, size_t first, size_t last, const QuantizedIo& io) {
  if (w.group == io.x.group) return tile_panels<Act, true>(w, first, last, io);
  tile_panels<Act, false>(w, first, last, io);
}

}  // namespace
