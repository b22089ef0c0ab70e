#pragma once

#include "kernels/avx2/bytes16.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

constexpr int kMostZeroKept = 128;
inline Bytes weight_bytes(Bytes b, int32_t) { return b; }

inline __m256i dot4_half(__m256i sum, __m256i u, __m256i s) {
#ifdef __AVXVNNI__
  return _mm256_dpbusd_avx_epi32(sum, u, s);
#else  // the same instruction as AVX-512 encodes it, for tests on CPUs that have only that one
  return _mm256_dpbusd_epi32(sum, u, s);
#endif
}
inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  return {dot4_half(sum.lo, u.lo, s.lo), dot4_half(sum.hi, u.hi, s.hi)};
}
inline void add_dot4(I16x& sum, Bytes u, Bytes s) { sum = dot4(sum, u, s); }
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

}  // namespace
