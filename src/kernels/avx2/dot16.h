#pragma once

#include "kernels/avx2/vec16.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

struct I16x {
  __m256i lo, hi;
};
struct Bytes {
  __m256i lo, hi;
};

inline I16x set1_int(int32_t v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
inline F16x to_float(I16x v) { return {_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)}; }

inline Bytes load_bytes(const uint8_t* p) {
  const auto* bytes = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(bytes), _mm256_loadu_si256(bytes + 1)};
}
inline Bytes mask_bytes(Bytes b, uint32_t mask) {
  const __m256i m = _mm256_set1_epi32(static_cast<int>(mask));
  return {_mm256_and_si256(b.lo, m), _mm256_and_si256(b.hi, m)};
}
inline Bytes load_quad(const void* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return {_mm256_set1_epi32(quad), _mm256_set1_epi32(quad)};
}

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
inline void prefetch(const void* p) { _mm_prefetch(p, _MM_HINT_T0); }

inline F16x store_rounded(int8_t* p, F16x v) {
  const __m256i lo = _mm256_cvtps_epi32(v.lo);
  const __m256i hi = _mm256_cvtps_epi32(v.hi);
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xd8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  return {_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)};
}
inline uint32_t mask_equal(F16x v, float value) {
  const __m256 want = _mm256_set1_ps(value);
  const int lo = _mm256_movemask_ps(_mm256_cmp_ps(v.lo, want, _CMP_EQ_OQ));
  const int hi = _mm256_movemask_ps(_mm256_cmp_ps(v.hi, want, _CMP_EQ_OQ));
  return static_cast<uint32_t>(lo | hi << 8);
}
inline F16x drop_equal(F16x v, float value) {
  const __m256 want = _mm256_set1_ps(value);
  return {_mm256_andnot_ps(_mm256_cmp_ps(v.lo, want, _CMP_EQ_OQ), v.lo),
          _mm256_andnot_ps(_mm256_cmp_ps(v.hi, want, _CMP_EQ_OQ), v.hi)};
}
inline void opaque(I16x& v) { asm volatile("" : "+x"(v.lo), "+x"(v.hi)); }
inline void opaque(Bytes& v) { asm volatile("" : "+x"(v.lo), "+x"(v.hi)); }
inline F16x abs(F16x v) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  return {_mm256_and_ps(v.lo, mask), _mm256_and_ps(v.hi, mask)};
}

}  // namespace
