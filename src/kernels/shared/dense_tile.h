#pragma once

#include "kernels/shared/ahead.h"
#include "kernels/shared/panel_tile.h"

// A tile of dense weights, written once over the vec16.h of the including level.
namespace {

using bitcpm::kernels::Bf16Io;
using bitcpm::kernels::Bf16Panels;
using bitcpm::kernels::F32Panels;
using bitcpm::kernels::kBf16Block;

// Two weights of neighbouring k, for 16 rows.
struct WeightPair {
  F16x even, odd;
};

inline WeightPair load_pair(const Bf16Panels& w, size_t panel, size_t k) {
  const uint32_t* pairs = w.pairs + (panel * (w.cols / 2) + k / 2) * kPanelRows;
  ask_ahead(pairs);
  const U16x words = load_words(pairs);
  return {bf16_low(words), bf16_high(words)};
}
inline WeightPair load_pair(const F32Panels& w, size_t panel, size_t k) {
  const float* values = w.values + (panel * w.cols + k) * kPanelRows;
  ask_ahead(values);
  ask_ahead(values + kPanelRows);
  return {load(values), load(values + kPanelRows)};
}

// The activations of T tokens in the current block of in-features, as floats. `kBlock` in-features
// are summed before the sum is folded away.
template <class Io, size_t T>
struct BlockInput;

template <size_t T>
struct BlockInput<LinearIo, T> {
  static constexpr size_t kBlock = kAccumulationBlock;
  const LinearIo& io;
  const float* x;

  BlockInput(const LinearIo& rows, size_t token) : io(rows), x(rows.x + token * rows.ldx) {}
  void move_to(size_t k0, size_t) { block = x + k0; }
  float at(size_t t, size_t k) const { return block[t * io.ldx + k]; }

 private:
  const float* block = nullptr;
};

template <size_t T>
struct BlockInput<Bf16Io, T> {
  static constexpr size_t kBlock = kBf16Block;
  const Bf16Io& io;
  size_t token;

  BlockInput(const Bf16Io& rows, size_t first) : io(rows), token(first) {}
  void move_to(size_t k0, size_t count) {
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      for (size_t k = 0; k < count; k += 16) {
        store(wide[t] + k, load_bf16(io.x + (token + t) * io.ldx + k0 + k));
      }
    }
  }
  float at(size_t t, size_t k) const { return wide[t][k]; }

 private:
  alignas(64) float wide[T][kBlock];
};

template <class DensePanels, class RowsIo>
struct DenseTile {
  using Panels = DensePanels;
  using Io = RowsIo;

  template <size_t P, size_t T>
  static void run(const DensePanels& w, size_t panel, const Io& io, size_t token) {
    constexpr size_t kBlock = BlockInput<Io, T>::kBlock;
    BlockInput<Io, T> x(io, token);
    F16x total[P][T];
#pragma GCC unroll 8
    for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) total[p][t] = set1(0);
    }
    for (size_t k0 = 0; k0 < w.cols; k0 += kBlock) {
      const size_t count = k0 + kBlock < w.cols ? kBlock : w.cols - k0;
      x.move_to(k0, count);
      F16x even[P][T];
      F16x odd[P][T];
#pragma GCC unroll 8
      for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) even[p][t] = odd[p][t] = set1(0);
      }
#pragma GCC unroll 2
      for (size_t k = 0; k < count; k += 2) {
        WeightPair weight[P];
#pragma GCC unroll 8
        for (size_t p = 0; p < P; ++p) weight[p] = load_pair(w, panel + p, k0 + k);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const F16x x0 = set1(x.at(t, k));
          const F16x x1 = set1(x.at(t, k + 1));
#pragma GCC unroll 8
          for (size_t p = 0; p < P; ++p) {
            even[p][t] = fma(weight[p].even, x0, even[p][t]);
            odd[p][t] = fma(weight[p].odd, x1, odd[p][t]);
          }
        }
      }
#pragma GCC unroll 8
      for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) total[p][t] = add(total[p][t], add(even[p][t], odd[p][t]));
      }
    }
    for (size_t p = 0; p < P; ++p) {
      for (size_t t = 0; t < T; ++t) store_rows(io, w.rows, panel + p, token + t, total[p][t]);
    }
  }
};

}  // namespace
