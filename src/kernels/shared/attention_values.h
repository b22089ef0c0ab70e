#pragma once

#include "kernels/shared/attention_rows.h"

// Sums of values of one chunk.
namespace {

// What a sub-tile of add_values() covers: its rows begin at `row`, its part of the head at `dim`,
// and the chunk's positions are [begin, end).
struct ValueTile {
  size_t row, dim;
  size_t first_block;  // of the chunk
  size_t begin, end;
};

// out[r] = out[r] * keep[r] + weights V for R rows by D vectors; without the factor if not First.
template <size_t R, size_t D, bool First, size_t Rows>
inline void add_values(const AttentionArgs& a, const AttentionRows<Rows>& rows, const ValueTile& t,
                       const float (*weight)[kChunk], const float* keep) {
  F16x acc[R][D];
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (size_t d = 0; d < D; ++d) {
      const F16x old = load(rows.out[t.row + r] + t.dim + 16 * d);
      acc[r][d] = First ? mul(old, set1(keep[t.row + r])) : old;
    }
  }
  for (size_t j = t.begin; j < t.end;) {
    const float* v = block_at(a, a.v_blocks, t.first_block + j / kKvBlockTokens) + t.dim;
    const size_t stop = (j / kKvBlockTokens + 1) * kKvBlockTokens;
    for (const size_t end = stop < t.end ? stop : t.end; j < end; ++j) {
      F16x value[D];
#pragma GCC unroll 8
      for (size_t d = 0; d < D; ++d) value[d] = load(v + j % kKvBlockTokens * a.head_dim + 16 * d);
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) {
        const F16x p = set1(weight[t.row + r][j]);
#pragma GCC unroll 8
        for (size_t d = 0; d < D; ++d) acc[r][d] = fma(p, value[d], acc[r][d]);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (size_t d = 0; d < D; ++d) store(rows.out[t.row + r] + t.dim + 16 * d, acc[r][d]);
  }
}

// The same for the whole head of R rows, which share the positions below the least of their valid
// counts; what single rows have beyond that follows row by row.
template <size_t R, size_t D, size_t Rows>
inline void add_head(const AttentionArgs& a, const AttentionRows<Rows>& rows, size_t row,
                     size_t first_block, const float (*weight)[kChunk], const float* keep) {
  size_t common = rows.valid[row];
  for (size_t r = 1; r < R; ++r) {
    common = rows.valid[row + r] < common ? rows.valid[row + r] : common;
  }
  size_t dim = 0;
  for (; dim + 16 * D <= a.head_dim; dim += 16 * D) {
    add_values<R, D, true>(a, rows, {row, dim, first_block, 0, common}, weight, keep);
  }
  for (; dim < a.head_dim; dim += 16) {
    add_values<R, 1, true>(a, rows, {row, dim, first_block, 0, common}, weight, keep);
  }
  for (size_t r = 0; r < R; ++r) {
    if (rows.valid[row + r] == common) continue;
    for (dim = 0; dim < a.head_dim; dim += 16) {
      const ValueTile rest{row + r, dim, first_block, common, rows.valid[row + r]};
      add_values<1, 1, false>(a, rows, rest, weight, keep);
    }
  }
}

}  // namespace
