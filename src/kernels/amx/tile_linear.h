#pragma once

#include "kernels/amx/tile_fold.h"
#include "kernels/amx/tile_weights.h"
#include "kernels/amx/token_tiles.h"

// The products of shared/field_tile.h by tiles: 16 tokens by 16 rows by 32 in-features at a time,
// whose sums are the same exact integers; they are folded in the same order. The fields of ternary
// weights enter as what they are instead of 4^f times that, which shows in no bit: scales are far
// from the ends of the floats' range (shared/quantize.h).
namespace {

using bitcpm::kernels::planes_of;
using bitcpm::kernels::QuantizedIo;

constexpr size_t kBlockTiles = 4;  // tiles of tokens that share the decoding

// Tile registers: activations (of kInt16 the first plane alone as well), weights likewise, and the
// sums of four fields.
enum : int { kBothPlanes = 0, kFirstPlane, kWeights, kFirstWeights, kSums };

template <ActForm Act>
inline TileConfig tile_config(size_t tokens) {
  TileConfig config;
  config.set(kBothPlanes, tokens, planes_of(Act) * kActGroup);
  config.set(kWeights, planes_of(Act) * kGroupLines, kTileRowBytes);
  config.set(kFirstPlane, tokens, kActGroup);
  config.set(kFirstWeights, kGroupLines, kTileRowBytes);
  for (size_t f = 0; f < kFields; ++f) config.set(kSums + f, tokens, kTileRowBytes);
  return config;
}

struct TileScratch {
  TileWeights weights[kChunkGroups][kFields];
  TileSums sums[kChunkGroups];
  alignas(64) float inner[kBlockTiles][kTileRows][kFieldRows];
  alignas(64) float totals[kBlockTiles][kTileRows][kFieldRows];
};

template <ActForm Act, int Field>
inline void multiply_field(const TileWeights& weights, TileSums& sums) {
  tile_zero<kSums + Field>();
  tile_load<kWeights>(weights.rows, kTileRowBytes);
  tile_dot<kSums + Field, kBothPlanes, kWeights>();
  if (Act == ActForm::kInt16) {
    tile_load<kFirstWeights>(weights.rows, kTileRowBytes);
    tile_dot<kSums + Field, kFirstPlane, kFirstWeights>();
  }
  tile_store<kSums + Field>(sums.field[Field], kTileRowBytes);
}

// All fields by some tokens, whose codes of this activation group are `stride` bytes apart.
template <ActForm Act>
inline void multiply_group(const int8_t* codes, size_t stride,
                           const TileWeights (&weights)[kFields], TileSums& sums) {
  static_assert(kFields == 4 && kSums + kFields == kTileRegisters, "one register each");
  tile_load<kBothPlanes>(codes, stride);
  if (Act == ActForm::kInt16) tile_load<kFirstPlane>(codes, stride);
  multiply_field<Act, 0>(weights[0], sums);
  multiply_field<Act, 1>(weights[1], sums);
  multiply_field<Act, 2>(weights[2], sums);
  multiply_field<Act, 3>(weights[3], sums);
}

// One panel by a block of tiles; tile i begins at token starts[i] and has `tokens`.
template <ActForm Act, class Weights>
inline void tile_block(const Weights& w, size_t panel, const QuantizedIo& io, const size_t* starts,
                       size_t tiles, size_t tokens, TileScratch& scratch) {
  const size_t act_groups = w.cols / kActGroup;
  const size_t stride = planes_of(Act) * w.cols;
  __builtin_memset(scratch.totals, 0, tiles * sizeof(scratch.totals[0]));
  for (size_t group = 0; group < act_groups;) {
    const Chunk chunk = chunk_at(w, panel, group);
    for (size_t g = 0; g < chunk.count; ++g) {
      decode_group<Act>(w, panel, (chunk.begin + g) * kActGroup, scratch.weights[g]);
    }
    for (size_t i = 0; i < tiles; ++i) {
      const int8_t* codes =
          io.x.codes + starts[i] * stride + chunk.begin * planes_of(Act) * kActGroup;
      for (size_t g = 0; g < chunk.count; ++g) {
        multiply_group<Act>(codes + g * planes_of(Act) * kActGroup, stride, scratch.weights[g],
                            scratch.sums[g]);
      }
      const float* act_scales = io.x.scales + starts[i] * act_groups + chunk.begin;
      fold_of(chunk)(scratch.sums, act_scales, act_groups, tokens, chunk, scratch.inner[i],
                     scratch.totals[i]);
    }
    group += chunk.count;
  }
}

// Panels [first, last) by all tokens.
template <ActForm Act, class Weights>
void tile_linear(const Weights& w, size_t first, size_t last, const QuantizedIo& io) {
  const size_t tokens = tile_tokens(io.tokens);
  configure_tiles(tile_config<Act>(tokens));
  TileScratch scratch;
  for (size_t begin = 0; begin < io.tokens; begin += kBlockTiles * kTileRows) {
    const TokenTiles<kBlockTiles> tiles(begin, io.tokens);
    for (size_t panel = first; panel < last; ++panel) {
      tile_block<Act>(w, panel, io, tiles.starts, tiles.count, tokens, scratch);
      const size_t row = panel * kFieldRows;
      const size_t rows = w.rows - row < kFieldRows ? w.rows - row : kFieldRows;
      for (size_t i = 0; i < tiles.count; ++i) {
        for (size_t t = 0; t < tokens; ++t) {
          __builtin_memcpy(io.y + (tiles.starts[i] + t) * io.ldy + row, scratch.totals[i][t],
                           rows * sizeof(float));
        }
      }
    }
  }
  release_tiles();
}

}  // namespace
