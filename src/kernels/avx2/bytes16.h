#pragma once

#include "kernels/avx2/vec16.h"

// Integers and bytes over sixteen 32-bit lanes, all of scalar/dot16.h but the dot products and how
// they take weights, which avxvnni does better. Same operations and bits as there.
namespace {

struct I16x {
  __m256i lo, hi;
};
struct Bytes {
  __m256i lo, hi;
};

inline I16x load_int(const int32_t* p) { return {_mm256_set1_epi32(*p), _mm256_set1_epi32(*p)}; }
template <int Bits>
inline I16x shift_left(I16x v) {
  return {_mm256_slli_epi32(v.lo, Bits), _mm256_slli_epi32(v.hi, Bits)};
}
inline F16x to_float(I16x v) { return {_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)}; }

inline Bytes load_bytes(const uint8_t* p) {
  const auto* bytes = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(bytes), _mm256_loadu_si256(bytes + 1)};
}
inline void store_bytes(uint8_t* p, Bytes b) {
  auto* bytes = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(bytes, b.lo);
  _mm256_storeu_si256(bytes + 1, b.hi);
}
inline Bytes mask_bytes(Bytes b, uint32_t mask) {
  const __m256i m = _mm256_set1_epi32(static_cast<int>(mask));
  return {_mm256_and_si256(b.lo, m), _mm256_and_si256(b.hi, m)};
}
inline Bytes select_bits(uint32_t mask, Bytes ones, Bytes zeros) {
  const Bytes a = mask_bytes(ones, mask);
  const Bytes b = mask_bytes(zeros, ~mask);
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
inline Bytes flip_bits(Bytes b, uint32_t mask) {
  const __m256i m = _mm256_set1_epi32(static_cast<int>(mask));
  return {_mm256_xor_si256(b.lo, m), _mm256_xor_si256(b.hi, m)};
}
template <int Bits>
inline Bytes shift_up(Bytes b) {
  return {_mm256_slli_epi32(b.lo, Bits), _mm256_slli_epi32(b.hi, Bits)};
}
template <int Bits>
inline Bytes shift_right(Bytes b) {
  return {_mm256_srli_epi32(b.lo, Bits), _mm256_srli_epi32(b.hi, Bits)};
}
inline I16x add(I16x a, I16x b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline I16x subtract(I16x a, I16x b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
inline Bytes load_quad(const void* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return {_mm256_set1_epi32(quad), _mm256_set1_epi32(quad)};
}

inline F16x store_rounded(int8_t* p, F16x v) {
  const __m256i lo = _mm256_cvtps_epi32(v.lo);
  const __m256i hi = _mm256_cvtps_epi32(v.hi);
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xd8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  return {_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)};
}
inline __m256 larger_half(__m256 a, __m256 b) {
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline __m256 smaller_half(__m256 a, __m256 b) {
  return _mm256_castsi256_ps(_mm256_min_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline F16x larger(F16x a, F16x b) { return {larger_half(a.lo, b.lo), larger_half(a.hi, b.hi)}; }
inline F16x smaller(F16x a, F16x b) { return {smaller_half(a.lo, b.lo), smaller_half(a.hi, b.hi)}; }
inline __m256 max_of_quads_half(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = larger_half(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  const __m256 cd = larger_half(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  return larger_half(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
}
inline F16x max_of_quads(F16x a, F16x b, F16x c, F16x d) {
  return {max_of_quads_half(a.lo, b.lo, c.lo, d.lo), max_of_quads_half(a.hi, b.hi, c.hi, d.hi)};
}
inline void transpose8(__m256 (&v)[8]) {
  __m256 fours[8];  // half h of fours[i + j]: lane 4 h + j of vectors i to i + 3
  for (int i = 0; i < 8; i += 4) {
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(v[i], v[i + 1]));
    const __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(v[i], v[i + 1]));
    const __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(v[i + 2], v[i + 3]));
    const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(v[i + 2], v[i + 3]));
    fours[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
    fours[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
    fours[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
    fours[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
  }
  for (int j = 0; j < 4; ++j) {
    v[j] = _mm256_permute2f128_ps(fours[j], fours[4 + j], 0x20);
    v[4 + j] = _mm256_permute2f128_ps(fours[j], fours[4 + j], 0x31);
  }
}
inline void transpose(F16x (&v)[16]) {
  __m256 block[2][2][8];  // [lanes of the result][lanes of v]
  for (int i = 0; i < 8; ++i) {
    block[0][0][i] = v[i].lo;
    block[0][1][i] = v[i].hi;
    block[1][0][i] = v[8 + i].lo;
    block[1][1][i] = v[8 + i].hi;
  }
  for (auto& row : block) {
    for (auto& b : row) transpose8(b);
  }
  for (int i = 0; i < 8; ++i) {
    v[i] = {block[0][0][i], block[1][0][i]};
    v[8 + i] = {block[0][1][i], block[1][1][i]};
  }
}
inline void opaque(I16x& v) { asm volatile("" : "+x"(v.lo), "+x"(v.hi)); }
inline void opaque(Bytes& v) { asm volatile("" : "+x"(v.lo), "+x"(v.hi)); }
inline F16x abs(F16x v) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  return {_mm256_and_ps(v.lo, mask), _mm256_and_ps(v.hi, mask)};
}

}  // namespace
