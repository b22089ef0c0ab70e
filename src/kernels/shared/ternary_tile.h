#pragma once

#include "kernels/shared/panel_tile.h"

// A tile of ternary weights, written once over the vec16.h of the including level.
namespace {

using bitcpm::kernels::TernaryPanels;

// The largest block that divides the group: 128, 64 or 32.
inline size_t block_of_group(size_t group) {
  size_t block = kAccumulationBlock;
  while (group % block != 0) block /= 2;
  return block;
}

struct TernaryTile {
  using Panels = TernaryPanels;

  template <size_t P, size_t T>
  static void run(const TernaryPanels& w, size_t panel, const LinearIo& io, size_t token) {
    const size_t words = w.cols / 16;
    const size_t groups = w.cols / w.group;
    const size_t block = block_of_group(w.group);
    F16x total[P][T];
#pragma GCC unroll 8
    for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) total[p][t] = set1(0);
    }
    for (size_t k0 = 0; k0 < w.cols; k0 += block) {
      F16x sum[P][T];
#pragma GCC unroll 8
      for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) sum[p][t] = set1(0);
      }
      for (size_t k = k0; k < k0 + block; k += 16) {
        U16x word[P];
#pragma GCC unroll 8
        for (size_t p = 0; p < P; ++p) {
          word[p] = load_words(w.codes + ((panel + p) * words + k / 16) * kPanelRows);
        }
        const float* x = io.x + token * io.ldx + k;
#pragma GCC unroll 16
        for (size_t j = 0; j < 16; ++j) {
          F16x weight[P];
#pragma GCC unroll 8
          for (size_t p = 0; p < P; ++p) {
            weight[p] = ternary_of(word[p]);
            word[p] = next_code(word[p]);
          }
#pragma GCC unroll 8
          for (size_t t = 0; t < T; ++t) {
            const F16x xt = set1(x[t * io.ldx + j]);
#pragma GCC unroll 8
            for (size_t p = 0; p < P; ++p) {
              sum[p][t] = add_exact_product(weight[p], xt, sum[p][t]);
            }
          }
        }
      }
#pragma GCC unroll 8
      for (size_t p = 0; p < P; ++p) {
        const F16x scale = load_bf16(w.scales + ((panel + p) * groups + k0 / w.group) * kPanelRows);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) total[p][t] = fma(scale, sum[p][t], total[p][t]);
      }
    }
    for (size_t p = 0; p < P; ++p) {
      for (size_t t = 0; t < T; ++t) store_rows(io, w.rows, panel + p, token + t, total[p][t]);
    }
  }
};

}  // namespace
