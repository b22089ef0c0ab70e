#pragma once

#include "kernels/shared/attention_rows.h"
#include "kernels/shared/elementwise.h"

// Scores of one chunk and their weights.
namespace {

// s0[r], s1[r] += q_r K over dimensions [begin, end) of one block: 32 positions.
template <size_t R, class Element>
inline void multiply_keys(const AttentionRows<R>& rows, const Element* k, size_t begin, size_t end,
                          F16x (&s0)[R], F16x (&s1)[R]) {
  for (size_t d = begin; d < end; ++d) {
    const F16x k0 = load_kv(k + d * kKvBlockTokens);
    const F16x k1 = load_kv(k + d * kKvBlockTokens + 16);
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      const F16x q = set1(rows.q[r][d]);
      s0[r] = fma(q, k0, s0[r]);
      s1[r] = fma(q, k1, s1[r]);
    }
  }
}

// score[r][at + 0..31] = q_r K of one block; slots without a position included.
template <size_t R, class Element>
inline void multiply_block(const AttentionArgs& a, const AttentionRows<R>& rows, const Element* k,
                           size_t at, float (*score)[kChunk]) {
  constexpr bool kGroups = kScaled<Element>;
  const size_t stride = kGroups ? kKvGroupDims : a.head_dim;
  for (size_t begin = 0; begin < a.head_dim; begin += stride) {
    F16x s0[R];
    F16x s1[R];
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) s0[r] = s1[r] = set1(0);
    const size_t end = begin + stride < a.head_dim ? begin + stride : a.head_dim;
    multiply_keys(rows, k, begin, end, s0, s1);
    if constexpr (kGroups) {
      const uint16_t* scales = scales_of(a, k, begin / kKvGroupDims);
      const F16x scale0 = load_bf16(scales);
      const F16x scale1 = load_bf16(scales + 16);
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) {
        s0[r] = fma(s0[r], scale0, begin == 0 ? set1(0) : load(score[r] + at));
        s1[r] = fma(s1[r], scale1, begin == 0 ? set1(0) : load(score[r] + at + 16));
      }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      store(score[r] + at, s0[r]);
      store(score[r] + at + 16, s1[r]);
    }
  }
}

// score[r][at + 0..31] = scale * q_r K of one block; minus infinity where there is no position.
template <size_t R, class Element>
inline void score_block(const AttentionArgs& a, const AttentionRows<R>& rows, const Element* k,
                        size_t at, float (*score)[kChunk]) {
  multiply_block(a, rows, k, at, score);
  const F16x scale = set1(a.scale);
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
    // Slots past the context hold whatever their last owner left: they must not even be multiplied
    // with a weight.
    const size_t valid = rows.valid[r];
    float* s = score[r] + at;
    store(s, keep_first(mul(load(s), scale), valid > at ? valid - at : 0, kMinusInfinity));
    store(s + 16, keep_first(mul(load(s + 16), scale), valid > at + 16 ? valid - at - 16 : 0,
                             kMinusInfinity));
  }
}

// Turns the scores of a chunk into weights and folds them into max and sum. keep[r]: what the
// row's output so far is to be multiplied by.
template <size_t R>
inline void weigh_chunk(const AttentionRows<R>& rows, size_t width, float (*score)[kChunk],
                        float* keep) {
  float shift[16] = {};
  for (size_t r = 0; r < R; ++r) {
    F16x largest = load(score[r]);
    for (size_t i = 16; i < width; i += 16) largest = max(largest, load(score[r] + i));
    const float chunk_max = reduce_max(largest);
    const float new_max = rows.max[r] > chunk_max ? rows.max[r] : chunk_max;
    shift[r] = rows.sum[r] == 0 ? 0 : rows.max[r] - new_max;
    rows.max[r] = new_max;
  }
  store(shift, exp16(load(shift)));
  for (size_t r = 0; r < R; ++r) {
    keep[r] = rows.sum[r] == 0 ? 0 : shift[r];  // first chunk: nothing to keep
    const size_t valid = rows.valid[r];
    const F16x row_max = set1(rows.max[r]);
    F16x sum = set1(0);
    for (size_t i = 0; i < valid; i += 16) {
      const F16x p = keep_first(exp16(sub(load(score[r] + i), row_max)), valid - i, 0);
      store(score[r] + i, p);
      sum = add(sum, p);
    }
    rows.sum[r] = __builtin_fmaf(rows.sum[r], keep[r], reduce_add(sum));
  }
}

}  // namespace
