#pragma once

#include "kernels/shared/attention_rows.h"
#include "kernels/shared/elementwise.h"

// Scores of one chunk and their weights.
namespace {

constexpr size_t kBlockDims = 32;  // of bf16, and of one scale
static_assert(kBlockDims == kKvGroupDims, "one block, one scale");

// score[r][at + slot ...] = q_r K for C vectors of positions of one block, slots without a position
// included.
template <bool Ahead, size_t C, size_t R, class Element>
inline void multiply_keys(const AttentionArgs& a, const AttentionRows<R>& rows, const Element* k,
                          size_t slot, size_t at, float (*score)[kChunk]) {
  constexpr bool kBlocks = kChains<Element> == 2 || kScaled<Element>;
  const size_t dims = kBlocks ? kBlockDims : a.head_dim;
  for (size_t begin = 0; begin < a.head_dim; begin += dims) {
    const size_t end = begin + dims < a.head_dim ? begin + dims : a.head_dim;
    F16x sum[R][C][kChains<Element>];
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (size_t c = 0; c < C; ++c) {
#pragma GCC unroll 2
        for (F16x& chain : sum[r][c]) chain = set1(0);
      }
    }
    add_products<Ahead>(rows.q, k, kKvBlockTokens, slot, begin, end, rows.ahead, sum);
#pragma GCC unroll 8
    for (size_t c = 0; c < C; ++c) {
      const size_t column = slot + 16 * c;
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) {
        float* s = score[r] + at + column;
        const F16x total = begin == 0 ? set1(0) : load(s);  // registers are full of sums
        if constexpr (kScaled<Element>) {
          const F16x scale = load_bf16(scales_of(a, k, begin / kKvGroupDims) + column);
          store(s, fma(sum[r][c][0], scale, total));
        } else if constexpr (kBlocks) {
          store(s, add(total, add(sum[r][c][0], sum[r][c][1])));
        } else {
          store(s, sum[r][c][0]);
        }
      }
    }
  }
}

// Minus infinity for the slots from `valid` on that a block's scores at s, [32], have no position
// for: they hold whatever their last owner left.
inline void leave_out(float* s, size_t valid) {
  if (valid >= kKvBlockTokens) return;
  store(s, keep_first(load(s), valid, kMinusInfinity));
  store(s + 16, keep_first(load(s + 16), valid > 16 ? valid - 16 : 0, kMinusInfinity));
}

// The scores of one block, which begins `at` positions after its chunk.
template <class Element, size_t R>
inline void score_block(const AttentionArgs& a, const AttentionRows<R>& rows, size_t block,
                        size_t at, float (*score)[kChunk]) {
  constexpr size_t kVectors = 2 / kChains<Element>;
  const Element* k = block_at<Element>(a, a.k_blocks, block);
  for (size_t slot = 0; slot < kKvBlockTokens; slot += 16 * kVectors) {
    if (rows.ahead != nullptr) {
      multiply_keys<true, kVectors>(a, rows, k, slot, at, score);
    } else {
      multiply_keys<false, kVectors>(a, rows, k, slot, at, score);
    }
  }
  for (size_t r = 0; r < R; ++r) {
    leave_out(score[r] + at, rows.valid[r] > at ? rows.valid[r] - at : 0);
  }
}

// The sum of one row's weights of `width` scores, 0 from `valid` on. put(i, weights) keeps sixteen.
template <bool Whole, class Put>
inline float weigh_row(const float* score, size_t valid, size_t width, F16x row_max,
                       const Put& put) {
  F16x sum = set1(0);
  if constexpr (Whole) {
    static_assert(kChunk % (16 * kSideBySide) == 0);
#pragma GCC unroll 2
    for (size_t i = 0; i < kChunk; i += 16 * kSideBySide) {
      F16x p[kSideBySide];
      each<kSideBySide>([&](size_t c) { p[c] = sub(load(score + i + 16 * c), row_max); });
      exp_each(p);
      each<kSideBySide>([&](size_t c) {
        put(i + 16 * c, p[c]);
        sum = add(sum, p[c]);
      });
    }
  } else {
    for (size_t i = 0; i < width; i += 16) {
      const size_t count = valid > i ? valid - i : 0;
      const F16x p = keep_first(exp16(sub(load(score + i), row_max)), count, 0);
      put(i, p);
      sum = add(sum, p);
    }
  }
  return reduce_add(sum);
}

// A row's output so far, times `factor`.
inline void scale_output(float* out, size_t head_dim, float factor) {
  if (factor == 1) return;
  for (size_t d = 0; d < head_dim; d += 16) store(out + d, mul(load(out + d), set1(factor)));
}

// Turns the scores of a chunk into weights, for put(r, i, weights), and folds them into max and
// sum. keep[r]: what the row's output so far is to be multiplied by. Whole: every row has all
// positions of the chunk.
template <bool Whole, size_t R, class Put>
inline void weigh_chunk(const SoftmaxRows<R>& rows, size_t width, const float (*score)[kChunk],
                        float* keep, const Put& put) {
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
    const float sum = weigh_row<Whole>(score[r], rows.valid[r], width, set1(rows.max[r]),
                                       [&](size_t i, F16x p) { put(r, i, p); });
    rows.sum[r] = __builtin_fmaf(rows.sum[r], keep[r], sum);
  }
}

}  // namespace
