#pragma once

#include "kernels/scalar/dot16.h"

// shared/peak.h for the baseline CPU, whose registers hold a quarter of sixteen lanes: compilers
// keep whole ones in memory, which would be the only thing these loops measure.
namespace {

using bitcpm::kernels::kPeakOps;

typedef float QuarterLanes __attribute__((vector_size(16)));
typedef uint32_t QuarterWords __attribute__((vector_size(16)));
typedef int32_t QuarterInts __attribute__((vector_size(16)));
typedef int16_t QuarterShorts __attribute__((vector_size(16)));
typedef uint16_t QuarterHalves __attribute__((vector_size(16)));

// Hides from the compiler where the value came from.
template <class Vector>
inline void opaque(Vector& v) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(v));
#else
  asm volatile("" : "+m"(v));
#endif
}

// dot4() of a quarter, the products made in 16 bits: the fewest instructions that plain vectors of
// 16 bytes need for it.
inline QuarterInts quarter_dot4(QuarterInts sum, QuarterWords u, QuarterWords s) {
  const QuarterShorts even =
      ((QuarterShorts)u & 0xff) * ((QuarterShorts)((QuarterHalves)s << 8) >> 8);
  const QuarterShorts odd = (QuarterShorts)((QuarterHalves)u >> 8) * ((QuarterShorts)s >> 8);
  const auto low = [](QuarterShorts v) { return (QuarterInts)((QuarterWords)v << 16) >> 16; };
  const auto high = [](QuarterShorts v) { return (QuarterInts)v >> 16; };
  return sum + ((low(even) + high(even)) + (low(odd) + high(odd)));
}

inline void int8_peak(size_t rounds) {
  QuarterWords u = QuarterWords{} + 0x01010101u;
  QuarterWords s = QuarterWords{} + 0xff01ff01u;  // 1 and -1: the products add up to 0
  QuarterInts sum = {};
  for (size_t op = 0; op < rounds * kPeakOps * 4; ++op) {
    opaque(u);
    opaque(s);
    sum = quarter_dot4(sum, u, s);
  }
  opaque(sum);
}

inline void f32_peak(size_t rounds) {
  constexpr size_t kSums = 8;
  static_assert(kPeakOps % kSums == 0, "a round is whole turns over the sums");
  QuarterLanes a = QuarterLanes{} + 1.0f;
  const QuarterLanes b = QuarterLanes{} + 0x1p-40f;
  QuarterLanes sum[kSums];
#pragma GCC unroll 8
  for (size_t i = 0; i < kSums; ++i) sum[i] = a;
  for (size_t turn = 0; turn < rounds * kPeakOps * 4 / kSums; ++turn) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kSums; ++i) {
      opaque(a);
      sum[i] += a * b;
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < kSums; ++i) opaque(sum[i]);
}

inline void read_bytes(const void* data, size_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  for (const uint8_t* end = p + bytes; p != end; p += 64) {
#pragma GCC unroll 4
    for (size_t part = 0; part < 64; part += 16) {
      QuarterWords value;
      __builtin_memcpy(&value, p + part, sizeof(value));
      opaque(value);
    }
  }
}

}  // namespace
