#pragma once

#include "kernels/shared/attention_rows.h"

// Sums of values of one chunk.
namespace {

// What a sub-tile of add_values() covers: its rows begin at `row`, its part of the head at `dim`,
// and the chunk's positions are [begin, end), from the beginning of a block on.
struct ValueTile {
  size_t row, dim;
  size_t first_block;  // of the chunk
  size_t begin, end;
};

// out[r] += weights V for R rows by D vectors.
template <bool Ahead, class Element, size_t R, size_t D, size_t Rows>
inline void add_values(const AttentionArgs& a, const AttentionRows<Rows>& rows, const ValueTile& t,
                       const float (*weight)[kChunk]) {
  for (size_t j = t.begin; j < t.end; j += kKvBlockTokens) {
    const size_t block = t.first_block + j / kKvBlockTokens;
    const size_t count = t.end - j < kKvBlockTokens ? t.end - j : kKvBlockTokens;
    const float* p[R];
    float* out[R];
    F16x sum[R][D][kChains<Element>];
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      p[r] = weight[t.row + r] + j;
      out[r] = rows.out[t.row + r] + t.dim;
#pragma GCC unroll 8
      for (size_t d = 0; d < D; ++d) {
        if constexpr (kChains<Element> == 2) {
          sum[r][d][0] = sum[r][d][1] = set1(0);
        } else {
          sum[r][d][0] = load(out[r] + 16 * d);
        }
      }
    }
    add_products<Ahead>(p, block_at<Element>(a, a.v_blocks, block), a.head_dim, t.dim, 0, count,
                        rows.ahead, sum);
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (size_t d = 0; d < D; ++d) {
        float* total = out[r] + 16 * d;
        if constexpr (kChains<Element> == 2) {
          store(total, add(load(total), add(sum[r][d][0], sum[r][d][1])));
        } else {
          store(total, sum[r][d][0]);
        }
      }
    }
  }
}

// The same for dimensions [begin, end) of R rows. Where rows see different counts of positions,
// they share the blocks that all of them see whole; what single rows have beyond follows row by
// row.
template <bool Ahead, class Element, size_t R, size_t D, size_t Rows>
inline void add_dims(const AttentionArgs& a, const AttentionRows<Rows>& rows, size_t row,
                     size_t begin, size_t end, size_t first_block, const float (*weight)[kChunk]) {
  size_t least = rows.valid[row];
  size_t most = least;
  for (size_t r = 1; r < R; ++r) {
    least = rows.valid[row + r] < least ? rows.valid[row + r] : least;
    most = rows.valid[row + r] > most ? rows.valid[row + r] : most;
  }
  const size_t shared = least == most ? least : least / kKvBlockTokens * kKvBlockTokens;
  size_t dim = begin;
  for (; dim + 16 * D <= end; dim += 16 * D) {
    add_values<Ahead, Element, R, D>(a, rows, {row, dim, first_block, 0, shared}, weight);
  }
  for (; dim < end; dim += 16) {
    add_values<Ahead, Element, R, 1>(a, rows, {row, dim, first_block, 0, shared}, weight);
  }
  for (size_t r = 0; r < R; ++r) {
    for (dim = begin; dim < end && rows.valid[row + r] > shared; dim += 16) {
      const ValueTile rest{row + r, dim, first_block, shared, rows.valid[row + r]};
      add_values<false, Element, 1, 1>(a, rows, rest, weight);
    }
  }
}

// All rows of a chunk, V at a time, by D vectors, half of it in two chains each; more where there
// are fewer rows.
template <class Element, size_t V, size_t D, size_t R>
inline void add_rows(const AttentionArgs& a, const AttentionRows<R>& rows, size_t begin, size_t end,
                     size_t first_block, const float (*weight)[kChunk]) {
  constexpr size_t kRows = V < R ? V : R;
  constexpr size_t kMost = kScaled<Element> ? kKvGroupDims / 16 : 4;
  constexpr size_t kWide = D * (V / kRows) / kChains<Element>;
  constexpr size_t kVectors = kWide < kMost ? kWide : kMost;
  static_assert(R % kRows == 0 && kVectors >= 1);
  size_t r = 0;
  if (rows.ahead != nullptr) {
    add_dims<true, Element, kRows, kVectors>(a, rows, 0, begin, end, first_block, weight);
    r = kRows;
  }
  for (; r < R; r += kRows) {
    add_dims<false, Element, kRows, kVectors>(a, rows, r, begin, end, first_block, weight);
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
                      const float (*weight)[kChunk]) {
  if constexpr (kScaled<Element>) {
    alignas(64) float scaled[R][kChunk];
    for (size_t begin = 0; begin < a.head_dim; begin += kKvGroupDims) {
      const size_t end = begin + kKvGroupDims < a.head_dim ? begin + kKvGroupDims : a.head_dim;
      scale_weights(a, rows, first_block, begin / kKvGroupDims, weight, scaled);
      add_rows<Element, V, D>(a, rows, begin, end, first_block, scaled);
    }
  } else {
    add_rows<Element, V, D>(a, rows, 0, a.head_dim, first_block, weight);
  }
}

}  // namespace
