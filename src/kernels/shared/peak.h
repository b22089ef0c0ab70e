#pragma once

#include "kernels/shared/ahead.h"

// What the arithmetic and the memory of a core reach at best: the ceilings that `bitcpm bench`
// measures kernels against. Written once over the dot16.h of the including level. opaque() makes
// the compiler forget where a value came from, at the price of no instruction, so it can neither
// merge nor drop the operations.
namespace {

using bitcpm::kernels::kPeakOps;

// What decoded_weights.h calls sums, for levels that keep them as dot4_small() has them.
struct DotSums {
  I16x sum{};

  void add(Bytes u, Bytes s) { sum = dot4_small(sum, u, s); }
};
inline void opaque(DotSums& sums) { opaque(sums.sum); }

// Sums: independent chains, enough to hide the latency of an operation and few enough to stay in
// registers.
template <size_t Sums, class Sum = DotSums>
void int8_peak(size_t rounds) {
  static_assert(kPeakOps % Sums == 0, "a round is whole turns over the sums");
  static const int8_t kQuads[2][4] = {{1, 1, 1, 1}, {1, -1, 1, -1}};  // their product adds up to 0
  Bytes u = load_quad(kQuads[0]);
  const Bytes s = load_quad(kQuads[1]);
  Sum sum[Sums]{};
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t turn = 0; turn < kPeakOps / Sums; ++turn) {
#pragma GCC unroll 16
      for (size_t i = 0; i < Sums; ++i) {
        opaque(u);
        sum[i].add(u, s);
        opaque(sum[i]);
      }
    }
  }
}

template <size_t Sums>
void f32_peak(size_t rounds) {
  static_assert(kPeakOps % Sums == 0, "a round is whole turns over the sums");
  F16x a = set1(1);
  const F16x b = set1(0x1p-40f);  // leaves a sum near 1 where it is: neither overflow nor denormals
  F16x sum[Sums];
#pragma GCC unroll 16
  for (size_t i = 0; i < Sums; ++i) sum[i] = set1(1);
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t turn = 0; turn < kPeakOps / Sums; ++turn) {
#pragma GCC unroll 16
      for (size_t i = 0; i < Sums; ++i) {
        opaque(a);
        sum[i] = fma(a, b, sum[i]);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < Sums; ++i) opaque(sum[i]);
}

// Loads every byte, asked for as kernels ask for weights, and does nothing with it.
inline void read_bytes(const void* data, size_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  for (const uint8_t* end = p + bytes; p != end; p += 256) {
#pragma GCC unroll 4
    for (size_t line = 0; line < 256; line += 64) {
      ask_ahead(p + line);
      Bytes value = load_bytes(p + line);
      opaque(value);
    }
  }
}

}  // namespace
