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

// From the values of `block` to the keys that lie a chunk after it; 0 if the context ends before.
template <class Element>
inline ptrdiff_t next_keys(const AttentionArgs& a, size_t block) {
  const size_t next = block + kChunkBlocks;
  if (next * kKvBlockTokens >= a.context + a.tokens - 1) return 0;
  return distance(block_at<Element>(a, a.v_blocks, block), block_at<Element>(a, a.k_blocks, next));
}

// out[r] = out[r] * keep[r] + weights V for R rows by D vectors; without the factor if not First.
template <class Element, size_t R, size_t D, bool First, size_t Rows>
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
    const size_t block = t.first_block + j / kKvBlockTokens;
    const ptrdiff_t ahead = rows.first && t.row == 0 ? next_keys<Element>(a, block) : 0;
    const Element* v =
        block_at<Element>(a, a.v_blocks, block) + j % kKvBlockTokens * a.head_dim + t.dim;
    const size_t stop = (j / kKvBlockTokens + 1) * kKvBlockTokens;
#pragma GCC unroll 2
    for (const size_t end = stop < t.end ? stop : t.end; j < end; ++j, v += a.head_dim) {
      ask_for<16 * D * sizeof(Element)>(v, ahead);
      F16x value[D];
#pragma GCC unroll 8
      for (size_t d = 0; d < D; ++d) value[d] = load_kv(v + 16 * d);
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

// The same for dimensions [begin, end) of R rows, which share the positions below the least of
// their valid counts; what single rows have beyond that follows row by row.
template <class Element, size_t R, size_t D, size_t Rows>
inline void add_dims(const AttentionArgs& a, const AttentionRows<Rows>& rows, size_t row,
                     size_t begin, size_t end, size_t first_block, const float (*weight)[kChunk],
                     const float* keep) {
  size_t common = rows.valid[row];
  for (size_t r = 1; r < R; ++r) {
    common = rows.valid[row + r] < common ? rows.valid[row + r] : common;
  }
  size_t dim = begin;
  for (; dim + 16 * D <= end; dim += 16 * D) {
    add_values<Element, R, D, true>(a, rows, {row, dim, first_block, 0, common}, weight, keep);
  }
  for (; dim < end; dim += 16) {
    add_values<Element, R, 1, true>(a, rows, {row, dim, first_block, 0, common}, weight, keep);
  }
  for (size_t r = 0; r < R; ++r) {
    if (rows.valid[row + r] == common) continue;
    for (dim = begin; dim < end; dim += 16) {
      const ValueTile rest{row + r, dim, first_block, common, rows.valid[row + r]};
      add_values<Element, 1, 1, false>(a, rows, rest, weight, keep);
    }
  }
}

// All rows of a chunk, V at a time, by D vectors; more vectors where there are fewer rows.
template <class Element, size_t V, size_t D, size_t R>
inline void add_rows(const AttentionArgs& a, const AttentionRows<R>& rows, size_t begin, size_t end,
                     size_t first_block, const float (*weight)[kChunk], const float* keep) {
  constexpr size_t kRows = V < R ? V : R;
  constexpr size_t kMost = kScaled<Element> ? kKvGroupDims / 16 : 4;
  constexpr size_t kWide = D * (V / kRows);
  constexpr size_t kVectors = kWide < kMost ? kWide : kMost;
  static_assert(R % kRows == 0);
  for (size_t r = 0; r < R; r += kRows) {
    add_dims<Element, kRows, kVectors>(a, rows, r, begin, end, first_block, weight, keep);
  }
}

// scaled[r][j] = weight[r][j] * the scale of position j in this group of dimensions.
template <size_t R>
inline void scale_weights(const AttentionArgs& a, const AttentionRows<R>& rows, size_t first_block,
                          size_t group, const float (*weight)[kChunk], float (*scaled)[kChunk]) {
  size_t most = 0;
  for (size_t r = 0; r < R; ++r) most = rows.valid[r] > most ? rows.valid[r] : most;
  for (size_t j = 0; j < most; j += 16) {
    const int8_t* v = block_at<int8_t>(a, a.v_blocks, first_block + j / kKvBlockTokens);
    const F16x scale = load_bf16(scales_of(a, v, group) + j % kKvBlockTokens);
    for (size_t r = 0; r < R; ++r) store(scaled[r] + j, mul(load(weight[r] + j), scale));
  }
}

template <class Element, size_t V, size_t D, size_t R>
inline void add_chunk(const AttentionArgs& a, const AttentionRows<R>& rows, size_t first_block,
                      const float (*weight)[kChunk], const float* keep) {
  if constexpr (kScaled<Element>) {
    alignas(64) float scaled[R][kChunk];
    for (size_t begin = 0; begin < a.head_dim; begin += kKvGroupDims) {
      const size_t end = begin + kKvGroupDims < a.head_dim ? begin + kKvGroupDims : a.head_dim;
      scale_weights(a, rows, first_block, begin / kKvGroupDims, weight, scaled);
      add_rows<Element, V, D>(a, rows, begin, end, first_block, scaled, keep);
    }
  } else {
    add_rows<Element, V, D>(a, rows, 0, a.head_dim, first_block, weight, keep);
  }
}

}  // namespace
