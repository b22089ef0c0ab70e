#pragma once

#include "kernels/shared/attention_rows.h"
#include "kernels/shared/elementwise.h"

// Scores of one chunk and their weights.
namespace {

constexpr size_t kDimsAtOnce = 16;  // divides head_dim

// s0[r], s1[r] += q_r K over dimensions [begin, end) of one block: 32 positions. ahead: see
// ask_for()
template <size_t R, class Element>
inline void multiply_keys(const AttentionRows<R>& rows, const Element* k, ptrdiff_t ahead,
                          size_t begin, size_t end, F16x (&s0)[R], F16x (&s1)[R]) {
  for (size_t at = begin; at < end; at += kDimsAtOnce) {
    const Element* line = k + at * kKvBlockTokens;
    const float* q[R];
    for (size_t r = 0; r < R; ++r) q[r] = rows.q[r] + at;
#pragma GCC unroll 4
    for (size_t d = 0; d < kDimsAtOnce; ++d, line += kKvBlockTokens) {
      ask_for<kKvBlockTokens * sizeof(Element)>(line, ahead);
      const F16x k0 = load_kv(line);
      const F16x k1 = load_kv(line + 16);
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) {
        const F16x value = set1(q[r][d]);
        s0[r] = fma(value, k0, s0[r]);
        s1[r] = fma(value, k1, s1[r]);
      }
    }
  }
}

// score[r][at + 0..31] = scale * q_r K of one block; slots without a position included.
template <size_t R, class Element>
inline void multiply_block(const AttentionArgs& a, const AttentionRows<R>& rows, const Element* k,
                           ptrdiff_t ahead, size_t at, float (*score)[kChunk]) {
  constexpr bool kGroups = kScaled<Element>;
  const size_t stride = kGroups ? kKvGroupDims : a.head_dim;
  for (size_t begin = 0; begin < a.head_dim; begin += stride) {
    F16x s0[R];
    F16x s1[R];
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) s0[r] = s1[r] = set1(0);
    const size_t end = begin + stride < a.head_dim ? begin + stride : a.head_dim;
    multiply_keys(rows, k, ahead, begin, end, s0, s1);
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
    const F16x scale = set1(end == a.head_dim ? a.scale : 1);
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      store(score[r] + at, mul(s0[r], scale));
      store(score[r] + at + 16, mul(s1[r], scale));
    }
  }
}

// The same with minus infinity where there is no position.
template <class Element, size_t R>
inline void score_block(const AttentionArgs& a, const AttentionRows<R>& rows, size_t block,
                        size_t at, float (*score)[kChunk]) {
  const Element* k = block_at<Element>(a, a.k_blocks, block);
  const ptrdiff_t ahead = rows.first ? distance(k, block_at<Element>(a, a.v_blocks, block)) : 0;
  multiply_block(a, rows, k, ahead, at, score);
  for (size_t r = 0; r < R; ++r) {
    // Slots past the context hold whatever their last owner left: they must not even be multiplied
    // with a weight.
    const size_t valid = rows.valid[r];
    if (valid >= at + kKvBlockTokens) continue;
    float* s = score[r] + at;
    store(s, keep_first(load(s), valid > at ? valid - at : 0, kMinusInfinity));
    store(s + 16, keep_first(load(s + 16), valid > at + 16 ? valid - at - 16 : 0, kMinusInfinity));
  }
}

// Weights of one row's first `valid` scores, in their place, and their sum.
template <bool Whole>
inline float weigh_row(float* score, size_t valid, F16x row_max) {
  F16x sum = set1(0);
  if constexpr (Whole) {
#pragma GCC unroll 2
    for (size_t i = 0; i < kChunk; i += 16) {
      const F16x p = exp16(sub(load(score + i), row_max));
      store(score + i, p);
      sum = add(sum, p);
    }
  } else {
    for (size_t i = 0; i < valid; i += 16) {
      const F16x p = keep_first(exp16(sub(load(score + i), row_max)), valid - i, 0);
      store(score + i, p);
      sum = add(sum, p);
    }
  }
  return reduce_add(sum);
}

// Turns the scores of a chunk into weights and folds them into max and sum. keep[r]: what the
// row's output so far is to be multiplied by. Whole: every row has all positions of the chunk.
template <bool Whole, size_t R>
inline void weigh_chunk(const AttentionRows<R>& rows, size_t width, float (*score)[kChunk],
                        float* keep) {
  float shift[16] = {};
  for (size_t r = 0; r < R; ++r) {
    F16x largest = load(score[r]);
    for (size_t i = 16; i < (Whole ? kChunk : width); i += 16) {
      largest = max(largest, load(score[r] + i));
    }
    const float chunk_max = reduce_max(largest);
    const float new_max = rows.max[r] > chunk_max ? rows.max[r] : chunk_max;
    shift[r] = rows.sum[r] == 0 ? 0 : rows.max[r] - new_max;
    rows.max[r] = new_max;
  }
  store(shift, exp16(load(shift)));
  for (size_t r = 0; r < R; ++r) {
    keep[r] = rows.sum[r] == 0 ? 0 : shift[r];  // first chunk: nothing to keep
    const float sum = weigh_row<Whole>(score[r], rows.valid[r], set1(rows.max[r]));
    rows.sum[r] = __builtin_fmaf(rows.sum[r], keep[r], sum);
  }
}

}  // namespace
