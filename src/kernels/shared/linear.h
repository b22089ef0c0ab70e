#pragma once

// Panel-times-tokens products, written once over the vec16.h of the including level. A tile is P
// panels by T tokens; every (row, token) has its own chain of operations, so neither P nor T nor
// the position in a tile shows in the result.
namespace {

using bitcpm::kernels::Bf16Panels;
using bitcpm::kernels::F32Panels;
using bitcpm::kernels::kAccumulationBlock;
using bitcpm::kernels::kPanelRows;
using bitcpm::kernels::LinearIo;
using bitcpm::kernels::TernaryPanels;

// Stores a panel's 16 sums, or as many as the matrix has rows.
inline void store_rows(const LinearIo& io, size_t rows, size_t panel, size_t token, F16x sums) {
  const size_t row = panel * kPanelRows;
  float* y = io.y + token * io.ldy + row;
  if (row + kPanelRows <= rows) {
    store(y, sums);
    return;
  }
  float all[kPanelRows];
  store(all, sums);
  for (size_t r = 0; row + r < rows; ++r) y[r] = all[r];
}

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
    for (size_t p = 0; p < P; ++p) {
      for (size_t t = 0; t < T; ++t) total[p][t] = set1(0);
    }
    for (size_t k0 = 0; k0 < w.cols; k0 += block) {
      F16x sum[P][T];
#pragma GCC unroll 4
      for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) sum[p][t] = set1(0);
      }
      for (size_t k = k0; k < k0 + block; k += 16) {
        U16x word[P];
#pragma GCC unroll 4
        for (size_t p = 0; p < P; ++p) {
          word[p] = load_words(w.codes + ((panel + p) * words + k / 16) * kPanelRows);
        }
        const float* x = io.x + token * io.ldx + k;
#pragma GCC unroll 16
        for (size_t j = 0; j < 16; ++j) {
          F16x weight[P];
#pragma GCC unroll 4
          for (size_t p = 0; p < P; ++p) {
            weight[p] = ternary_of(word[p]);
            word[p] = next_code(word[p]);
          }
#pragma GCC unroll 8
          for (size_t t = 0; t < T; ++t) {
            const F16x xt = set1(x[t * io.ldx + j]);
#pragma GCC unroll 4
            for (size_t p = 0; p < P; ++p) {
              sum[p][t] = add_exact_product(weight[p], xt, sum[p][t]);
            }
          }
        }
      }
      for (size_t p = 0; p < P; ++p) {
        const F16x scale = load_bf16(w.scales + ((panel + p) * groups + k0 / w.group) * kPanelRows);
        for (size_t t = 0; t < T; ++t) total[p][t] = fma(scale, sum[p][t], total[p][t]);
      }
    }
    for (size_t p = 0; p < P; ++p) {
      for (size_t t = 0; t < T; ++t) store_rows(io, w.rows, panel + p, token + t, total[p][t]);
    }
  }
};

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
    for (size_t p = 0; p < P; ++p) {
      for (size_t t = 0; t < T; ++t) total[p][t] = set1(0);
    }
    for (size_t k0 = 0; k0 < w.cols; k0 += kAccumulationBlock) {
      const size_t end = k0 + kAccumulationBlock < w.cols ? k0 + kAccumulationBlock : w.cols;
      F16x even[P][T];
      F16x odd[P][T];
#pragma GCC unroll 4
      for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) even[p][t] = odd[p][t] = set1(0);
      }
      const float* x = io.x + token * io.ldx;
#pragma GCC unroll 2
      for (size_t k = k0; k < end; k += 2) {
        WeightPair weight[P];
#pragma GCC unroll 4
        for (size_t p = 0; p < P; ++p) weight[p] = load_pair(w, panel + p, k);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const F16x x0 = set1(x[t * io.ldx + k]);
          const F16x x1 = set1(x[t * io.ldx + k + 1]);
#pragma GCC unroll 4
          for (size_t p = 0; p < P; ++p) {
            even[p][t] = fma(weight[p].even, x0, even[p][t]);
            odd[p][t] = fma(weight[p].odd, x1, odd[p][t]);
          }
        }
      }
      for (size_t p = 0; p < P; ++p) {
        for (size_t t = 0; t < T; ++t) total[p][t] = add(total[p][t], add(even[p][t], odd[p][t]));
      }
    }
    for (size_t p = 0; p < P; ++p) {
      for (size_t t = 0; t < T; ++t) store_rows(io, w.rows, panel + p, token + t, total[p][t]);
    }
  }
};

// P panels by all tokens, T at a time; what is left goes one by one.
template <class Tile, size_t P, size_t T>
inline void run_tokens(const typename Tile::Panels& w, size_t panel, const LinearIo& io) {
  size_t token = 0;
  for (; token + T <= io.tokens; token += T) Tile::template run<P, T>(w, panel, io, token);
  for (; token < io.tokens; ++token) Tile::template run<P, 1>(w, panel, io, token);
}

template <class Tile, size_t P, size_t T>
void linear(const typename Tile::Panels& w, size_t first, size_t last, const LinearIo& io) {
  size_t panel = first;
  for (; panel + P <= last; panel += P) run_tokens<Tile, P, T>(w, panel, io);
  for (; panel < last; ++panel) run_tokens<Tile, 1, T>(w, panel, io);
}

}  // namespace
