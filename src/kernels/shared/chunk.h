#pragma once

#include "kernels/shared/field_forms.h"

// For kernels that decode weights once for many tokens: what they decode at a time.
namespace {

using bitcpm::kernels::kFields;
using bitcpm::kernels::kMostActGroup;
using bitcpm::kernels::QuantizedIo;

constexpr size_t kMostLines = kMostActGroup / 4;

// The in-features of one activation group, in one weight group of a panel.
struct Chunk {
  size_t begin, size;      // in-features
  bool first, last;        // of the weight group
  const uint16_t* scales;  // [64] of the weight group

  size_t index() const { return begin / size; }
};

template <class Weights>
inline Chunk chunk_at(const Weights& w, size_t panel, size_t begin, size_t size) {
  const size_t group = begin / w.group;
  return {begin, size, begin == group * w.group, begin + size == (group + 1) * w.group,
          w.scales + (panel * (w.cols / w.group) + group) * kFieldRows};
}

// Rows of 64 floats that the sums of a token by one panel are folded into.
struct FoldRow {
  float* inner;         // sums of the weight group so far
  const float* before;  // the total so far
  float* after;
};

// Those of one token after the other; stride in floats.
struct FoldRows {
  FoldRow row;
  size_t after_stride;

  void next() {
    row.inner += kFieldRows;
    row.before += kFieldRows;
    row.after += after_stride;
  }
};

constexpr size_t kMostFolded = 16;  // tokens at a time
alignas(64) constexpr float kNoTotals[kMostFolded][kFieldRows] = {};

// Of the tokens from `token` on. Totals are kept apart until they are complete: tiles of tokens may
// overlap. inner, totals: [tokens][64], of up to kMostFolded tokens
template <class Weights>
inline FoldRows fold_rows(const Weights& w, size_t panel, const Chunk& chunk, const QuantizedIo& io,
                          size_t token, float* inner, float* totals) {
  FoldRows rows{{inner, totals, totals}, kFieldRows};
  if (chunk.begin < w.group) rows.row.before = kNoTotals[0];
  if (chunk.begin + chunk.size == w.cols && (panel + 1) * kFieldRows <= w.rows) {
    rows.row.after = io.y + token * io.ldy + panel * kFieldRows;
    rows.after_stride = io.ldy;
  }
  return rows;
}

// The totals of a panel that w.rows cuts off, which fold_rows() leaves where they are.
template <class Weights>
inline void copy_cut_panel(const Weights& w, size_t panel, const QuantizedIo& io, size_t token,
                           size_t tokens, const float* totals) {
  const size_t row = panel * kFieldRows;
  if (row + kFieldRows <= w.rows) return;
  for (size_t t = 0; t < tokens; ++t) {
    __builtin_memcpy(io.y + (token + t) * io.ldy + row, totals + t * kFieldRows,
                     (w.rows - row) * sizeof(float));
  }
}

struct WeightScales {
  F16x field[kFields] = {};

  WeightScales() = default;
  explicit WeightScales(const Chunk& chunk) {
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) field[f] = load_bf16(chunk.scales + 16 * f);
  }
};

// The sums of one token, sum(f) those of field f, in the order of shared/field_tile.h. first, last:
// whether the chunk is that of its weight group; scale: of the activations. Always inline, or the
// sums of decoded_tile.h leave their registers, at two and a half times the cost of everything.
template <class Sum>
[[gnu::always_inline]] inline void fold_token(bool first, bool last, const WeightScales& weights,
                                              float scale, const FoldRow& row, const Sum& sum) {
  const F16x acts = set1(scale);
#pragma GCC unroll 4
  for (size_t f = 0; f < kFields; ++f) {
    const F16x in = fma(to_float(sum(f)), acts, first ? set1(0) : load(row.inner + 16 * f));
    if (last) {
      store(row.after + 16 * f, fma(weights.field[f], in, load(row.before + 16 * f)));
    } else {
      store(row.inner + 16 * f, in);
    }
  }
}

// The sums of `tokens` tokens, sum(t, f). scales: of the tokens, `stride` apart
template <bool First, bool Last, class Sum>
inline void fold(size_t tokens, const Chunk& chunk, const float* scales, size_t stride,
                 const FoldRows& rows, const Sum& sum) {
  const WeightScales weights(chunk);
  // A copy, since what is stored might be `rows` for all the compiler knows.
  FoldRows at = rows;
#pragma GCC unroll 6
  for (size_t t = 0; t < tokens; ++t) {
    fold_token(First, Last, weights, *scales, at.row, [&](size_t f) { return sum(t, f); });
    scales += stride;
    at.next();
  }
}

template <class Sum>
inline void fold(size_t tokens, const Chunk& chunk, const float* scales, size_t stride,
                 const FoldRows& rows, const Sum& sum) {
  if (chunk.first && chunk.last) {
    fold<true, true>(tokens, chunk, scales, stride, rows, sum);
  } else if (chunk.first) {
    fold<true, false>(tokens, chunk, scales, stride, rows, sum);
  } else if (chunk.last) {
    fold<false, true>(tokens, chunk, scales, stride, rows, sum);
  } else {
    fold<false, false>(tokens, chunk, scales, stride, rows, sum);
  }
}

}  // namespace
