#pragma once

#include "kernels/shared/panel_tile.h"

// A tile of bf16 or f32 weights, written once over the vec16.h of the including level.
namespace {

using bitcpm::kernels::Bf16Panels;
using bitcpm::kernels::F32Panels;

// Two weights of neighbouring k, for 16 rows.
struct WeightPair {
  F16x even, odd;
};

inline WeightPair load_pair(const Bf16Panels& w, size_t panel, size_t k) {
  const U16x words = load_words(w.pairs + (panel * (w.cols / 2) + k / 2) * kPanelRows);
  return {bf16_low(words), bf16_high(words)};
}
inline WeightPair load_pair(const F32Panels& w, size_t panel, size_t k) {
  const float* values = w.values + (panel * w.cols + k) * kPanelRows;
  return {load(values), load(values + kPanelRows)};
}

template <class DensePanels>
struct DenseTile {
  using Panels = DensePanels;

  template <size_t P, size_t T>
  static void run(const DensePanels& w, size_t panel, const LinearIo& io, size_t token) {
    F16x total[P][T];
#pragma GCC unroll 8
    for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) total[p][t] = set1(0);
    }
    for (size_t k0 = 0; k0 < w.cols; k0 += kAccumulationBlock) {
      const size_t end = k0 + kAccumulationBlock < w.cols ? k0 + kAccumulationBlock : w.cols;
      F16x even[P][T];
      F16x odd[P][T];
#pragma GCC unroll 8
      for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) even[p][t] = odd[p][t] = set1(0);
      }
      const float* x = io.x + token * io.ldx;
#pragma GCC unroll 2
      for (size_t k = k0; k < end; k += 2) {
        WeightPair weight[P];
#pragma GCC unroll 8
        for (size_t p = 0; p < P; ++p) weight[p] = load_pair(w, panel + p, k);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const F16x x0 = set1(x[t * io.ldx + k]);
          const F16x x1 = set1(x[t * io.ldx + k + 1]);
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
