#pragma once

#include "kernels/amx/tile_fold.h"
#include "kernels/amx/tile_weights.h"

// The sums of one tile of tokens by one chunk of a panel, while something else is done.
namespace {

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

// The sums of a chunk of Steps tiles of in-features. meanwhile<Slots>(slot) is called after product
// `slot` of Slots.
template <ActForm Act, size_t Steps, class Meanwhile>
[[gnu::always_inline]] inline void multiply_steps(const TilePlanes& x, const ChunkWeights& weights,
                                                  TileSums& sums, const Meanwhile& meanwhile) {
  constexpr size_t kProducts = kFields * Steps * (Act == ActForm::kInt16 ? 3 : 2);
  size_t slot = 0;
  const auto between = [&]() __attribute__((always_inline)) {
    meanwhile.template operator()<kProducts>(slot++);
  };
  tile_zero<kSums>();
  tile_zero<kSums + 1>();
  tile_zero<kSums + 2>();
  tile_zero<kSums + 3>();
#pragma GCC unroll 2
  for (size_t step = 0; step < Steps; ++step) {
    tile_load_once<kSecond>(x.second + step * kTileRowBytes, x.pitch);
    tile_load_once<kFirst>(x.first + step * kTileRowBytes, x.pitch);
    multiply_fields<Act, 0>(weights, step, between);
    if (step + 1 == Steps) {  // not all at the end, where products would wait for the stores
      tile_store<kSums>(sums.field[0], kTileRowBytes);
      tile_store<kSums + 1>(sums.field[1], kTileRowBytes);
    }
    multiply_fields<Act, 2>(weights, step, between);
  }
  tile_store<kSums + 2>(sums.field[2], kTileRowBytes);
  tile_store<kSums + 3>(sums.field[3], kTileRowBytes);
}

// One chunk of one panel by the tile of tokens that begins at `token`.
template <ActForm Act, class Meanwhile>
[[gnu::always_inline]] inline void multiply_chunk(const QuantizedIo& io, size_t token,
                                                  const Chunk& chunk, const ChunkWeights& weights,
                                                  TileSums& sums, const Meanwhile& meanwhile) {
  static_assert(kFields == 4 && kMostSteps == 2, "every case is above or below");
  const int8_t* first = io.x.codes + token * io.x.pitch + 2 * chunk.begin;
  const TilePlanes x{first, first + chunk.size, io.x.pitch};
  if (chunk.size > kTileRowBytes) {
    multiply_steps<Act, 2>(x, weights, sums, meanwhile);
  } else {
    multiply_steps<Act, 1>(x, weights, sums, meanwhile);
  }
}

}  // namespace
