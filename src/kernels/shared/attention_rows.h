#pragma once

#include "kernels/shared/attention_ahead.h"

// The steps of online-softmax attention (FlashAttention-2, arXiv:2307.08691, Alg. 1), written once
// over the vec16.h of the including level. For one row, positions go in chunks of 128, ascending:
//   s = (scale * q) K; m' = max(m, max s); p = exp(s - m')
//   l = fma(l, exp(m - m'), sum p); o = o * exp(m - m') + p V
// where sum p adds vectors of 16 ascending, then halves onto halves. Both products add their terms
// ascending by fma. bf16, whose scale * q and the p of p V are rounded to bf16 first: in blocks of
// 32, the last of which may be short, even and odd terms a chain each, then their sum onto the
// total, as bf16_products in kernels/table.h. int8: a group of q K, 32 dimensions, goes onto the
// total by fma(group, scale, total); p V takes p times the position's scale for p. A row's chain is
// the same in every tile.
namespace {

using bitcpm::kernels::kKvGroupDims;

constexpr float kMinusInfinity = -__builtin_inff();

template <class Element>
constexpr bool kScaled = sizeof(Element) == 1;

// Chains that a product's terms go to in turns, and rows of a block that are element by element.
template <class Element>
constexpr size_t kChains = sizeof(Element) == 2 ? 2 : 1;

// kChains rows of a block, from `row` on, in sixteen columns. block: [rows][cols] as AttentionArgs
// has it
inline void load_rows(const float* block, size_t cols, size_t row, size_t col, F16x (&out)[1]) {
  out[0] = load(block + row * cols + col);
}
inline void load_rows(const int8_t* block, size_t cols, size_t row, size_t col, F16x (&out)[1]) {
  out[0] = load_int8(block + row * cols + col);
}
inline void load_rows(const uint16_t* block, size_t cols, size_t row, size_t col, F16x (&out)[2]) {
  const U16x words = load_words(reinterpret_cast<const uint32_t*>(block) + row / 2 * cols + col);
  out[0] = bf16_low(words);
  out[1] = bf16_high(words);
}

// What a query or a weight is multiplied as.
template <class Element>
inline F16x operand(F16x v) {
  if (kChains<Element> == 1) return v;
  uint16_t near[16];
  store_bf16(near, v);
  return load_bf16(near);
}

template <class Element>
inline const Element* block_at(const AttentionArgs& a, const void* base, size_t block) {
  const auto at = static_cast<size_t>(a.block_ids[block]) * a.block_stride;
  return reinterpret_cast<const Element*>(static_cast<const char*>(base) + at);
}

// The scales of one group of one block's int8 elements: [32] bf16.
inline const uint16_t* scales_of(const AttentionArgs& a, const int8_t* elements, size_t group) {
  return reinterpret_cast<const uint16_t*>(elements + a.head_dim * kKvBlockTokens) +
         group * kKvBlockTokens;
}

// sum[r][c] += left[r] times vector c of the columns from `col` on, over rows [begin, end) of a
// block; term k is left[r][k] times row k. Ahead: asks for as much as it reads
template <bool Ahead, class Element, size_t R, size_t C>
inline void add_products(const float* const (&left)[R], const Element* block, size_t cols,
                         size_t col, size_t begin, size_t end, ChunkAhead* ahead,
                         F16x (&sum)[R][C][kChains<Element>]) {
  constexpr size_t kStep = kChains<Element>;
  constexpr size_t kAskEvery =
      ChunkAhead::kLinesPerAsk * ChunkAhead::kLineBytes / (16 * C * sizeof(Element));  // rows
  static_assert(!Ahead || (kAskEvery > 0 && kAskEvery % kStep == 0));
  const auto add_step = [&](size_t k, size_t count) __attribute__((always_inline)) {
    F16x right[C][kStep];
#pragma GCC unroll 8
    for (size_t c = 0; c < C; ++c) load_rows(block, cols, k, col + 16 * c, right[c]);
#pragma GCC unroll 2
    for (size_t i = 0; i < count; ++i) {
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) {
        const F16x value = set1(left[r][k + i]);
#pragma GCC unroll 8
        for (size_t c = 0; c < C; ++c) sum[r][c][i] = fma(value, right[c][i], sum[r][c][i]);
      }
    }
  };
  size_t k = begin;
  while (k + kStep <= end) {
    if (Ahead) ahead->ask();
    const size_t stop = Ahead && k + kAskEvery < end ? k + kAskEvery : end;
    for (; k + kStep <= stop; k += kStep) add_step(k, kStep);
  }
  if (k < end) add_step(k, 1);  // not what follows, which may be anything: see leave_out()
}

// What R rows have of one chunk, and of the softmax so far.
template <size_t R>
struct SoftmaxRows {
  size_t valid[R];  // positions of the chunk that exist for this row
  float* max;       // [R], updated; see AttentionPart
  float* sum;
};

// Rows of one tile in one chunk.
template <size_t R>
struct AttentionRows : SoftmaxRows<R> {
  const float* q[R];
  float* out[R];
  ChunkAhead* ahead;  // what the first rows of a tile ask for, on behalf of all; others nullptr
};

// Of the chunk that begins at `begin`, those that a row of token `token` attends to.
inline size_t valid_positions(const AttentionArgs& a, size_t token, size_t begin) {
  const size_t context = a.context + token;
  const size_t left = context > begin ? context - begin : 0;
  return left < kChunk ? left : kChunk;
}

}  // namespace
