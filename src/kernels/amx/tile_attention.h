#pragma once

#include "kernels/amx/bf16_block.h"
#include "kernels/amx/chunk_blocks.h"
#include "kernels/amx/query_rows.h"

// Attention to a cache of bf16 by tiles. Keys and values have the layout of right tiles already,
// and what a tile does with a block is the order of shared/attention_rows.h.
namespace {

// q K of T tiles of rows, from `tile` on, by the blocks of a chunk. This and value_tiles() ask for
// what comes next with their first tiles.
template <int T>
inline void score_tiles(size_t head_dim, QueryRows& rows, size_t tile, const ChunkBlocks& chunk,
                        ChunkAhead& ahead) {
  const size_t row = tile * rows.tile_rows();
  const size_t step = rows.tile_rows();
  const auto load_queries = [&]<int I>(size_t k) {
    tile_load<kBf16Left + I>(rows.q[row + I * step] + k * kBlockDims, sizeof(rows.q[0]));
  };
  for (size_t b = 0; b < chunk.count(); ++b) {
    constexpr size_t kPitch = 2 * kKvBlockTokens;
    const uint16_t* keys = chunk.keys(b);
    const auto load_keys = [&]<int J>(size_t k) {
      const uint16_t* p = keys + k * (kBlockDims / 2 * kPitch) + J * kTileRowBytes / 2;
      load_cached<kBf16Right + J>(p, kPitch, tile == 0 ? &ahead : nullptr);
    };
    zero_bf16_sums<T, 2>();
    add_bf16_blocks<T, 2>(head_dim / kBlockDims, load_queries, load_keys);
    float* score = rows.score[row] + b * kKvBlockTokens;
    const size_t tile_floats = step * (sizeof(rows.score[0]) / sizeof(float));
    each_bf16_sum<T, 2>([&]<int I, int J>() {
      tile_store<kBf16Sums + 2 * I + J>(score + I * tile_floats + 16 * J, sizeof(rows.score[0]));
    });
  }
}

// Adds p V of T tiles of rows to their outputs.
template <int T>
inline void value_tiles(size_t head_dim, QueryRows& rows, size_t tile, const ChunkBlocks& chunk,
                        ChunkAhead& ahead) {
  const size_t row = tile * rows.tile_rows();
  const size_t step = rows.tile_rows();
  const auto load_weights = [&]<int I>(size_t k) {
    tile_load<kBf16Left + I>(rows.weight[row + I * step] + k * kKvBlockTokens,
                             sizeof(rows.weight[0]));
  };
  constexpr size_t kPitch = sizeof(rows.out[0]);
  const size_t tile_floats = step * (kPitch / sizeof(float));
  for (size_t dim = 0; dim < head_dim; dim += kBf16AtOnce * 16) {
    float* out = rows.out[row] + dim;
    const auto load_values = [&]<int J>(size_t k) {
      load_cached<kBf16Right + J>(chunk.values(k) + 2 * (dim + 16 * J), 2 * head_dim,
                                  tile == 0 ? &ahead : nullptr);
    };
    if (rows.have_outputs()) {
      each_bf16_sum<T, 2>([&]<int I, int J>() {
        tile_load<kBf16Sums + 2 * I + J>(out + I * tile_floats + 16 * J, kPitch);
      });
    } else {
      zero_bf16_sums<T, 2>();
    }
    add_bf16_blocks<T, 2>(chunk.count(), load_weights, load_values);
    each_bf16_sum<T, 2>([&]<int I, int J>() {
      tile_store<kBf16Sums + 2 * I + J>(out + I * tile_floats + 16 * J, kPitch);
    });
  }
}

// Eight rows, the heads of one token, take 0.5 to 0.8 of the time that vectors take; fewer leave
// most of a tile empty.
constexpr size_t kLeastQueries = 8;

void tile_attention(const AttentionArgs& a, size_t begin, const AttentionPart& part) {
  const size_t all = a.tokens * a.heads;
  if (all < kLeastQueries || a.head_dim % kBlockDims != 0 || !values_are_finite(a)) {
    return attention<uint16_t, Tiles::kQueries, Tiles::kValues, Tiles::kVectors>(a, begin, part);
  }
  QueryRows rows;
  alignas(64) uint32_t last_values[kKvBlockTokens / 2 * kMaxHeadDim];
  for (size_t row = 0; row < all; row += kMostQueries) {
    rows.load_queries(a, row, all - row < kMostQueries ? all - row : kMostQueries);
    configure_tiles(bf16_tile_config(rows.tile_rows()));
    const size_t context = a.context + rows.last_token(a);
    const size_t end = context < begin + kAttentionSplit ? context : begin + kAttentionSplit;
    for (size_t at = begin; at < end; at += kChunk) {
      const ChunkBlocks chunk(a, at, end < at + kChunk ? end : at + kChunk, last_values);
      // Tiles bring keys and values from the second-level cache fast enough for many rows as well.
      ChunkAhead ahead(a, at, end, false);
      by_twos(rows.tiles(),
              [&]<int T>(size_t tile) { score_tiles<T>(a.head_dim, rows, tile, chunk, ahead); });
      rows.weigh(a, at, chunk.count() * kKvBlockTokens, ahead);
      by_twos(rows.tiles(),
              [&]<int T>(size_t tile) { value_tiles<T>(a.head_dim, rows, tile, chunk, ahead); });
      ahead.ask_rest();
      rows.outputs_added();
    }
    release_tiles();
    rows.finish(a, part);
  }
}

}  // namespace
