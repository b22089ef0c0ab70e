#pragma once

#include "kernels/avx2/bytes16.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

// Even and odd bytes apart, widened: any unsigned byte may meet any signed one.
inline __m256i dot4_half(__m256i sum, __m256i u, __m256i s) {
  const __m256i low = _mm256_set1_epi16(0xff);
  const __m256i even =
      _mm256_madd_epi16(_mm256_and_si256(u, low), _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}
inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  return {dot4_half(sum.lo, u.lo, s.lo), dot4_half(sum.hi, u.hi, s.hi)};
}
// vpmaddubsw saturates at 32,767; two products of at most 128 * 127 stay below.
inline __m256i dot4_small_half(__m256i sum, __m256i u, __m256i s) {
  const __m256i pairs = _mm256_maddubs_epi16(u, s);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) {
  return {dot4_small_half(sum.lo, u.lo, s.lo), dot4_small_half(sum.hi, u.hi, s.hi)};
}

}  // namespace
