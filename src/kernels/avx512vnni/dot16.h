#pragma once

#include "kernels/avx512vnni/vec16.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

struct I16x {
  __m512i v;
};
struct Bytes {
  __m512i v;
};

inline I16x load_int(const int32_t* p) { return {_mm512_set1_epi32(*p)}; }
template <int Bits>
inline I16x shift_left(I16x v) {
  return {_mm512_slli_epi32(v.v, Bits)};
}
inline F16x to_float(I16x v) { return {_mm512_cvtepi32_ps(v.v)}; }

inline Bytes load_bytes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store_bytes(uint8_t* p, Bytes b) { _mm512_storeu_si512(p, b.v); }
inline Bytes mask_bytes(Bytes b, uint32_t mask) {
  return {_mm512_and_si512(b.v, _mm512_set1_epi32(static_cast<int>(mask)))};
}
inline Bytes select_bits(uint32_t mask, Bytes ones, Bytes zeros) {
  const __m512i m = _mm512_set1_epi32(static_cast<int>(mask));
  return {_mm512_ternarylogic_epi32(m, ones.v, zeros.v, 0xca)};  // m ? ones : zeros
}
inline Bytes flip_bits(Bytes b, uint32_t mask) {
  return {_mm512_xor_si512(b.v, _mm512_set1_epi32(static_cast<int>(mask)))};
}
template <int Bits>
inline Bytes shift_up(Bytes b) {
  return {_mm512_slli_epi32(b.v, Bits)};
}
template <int Bits>
inline Bytes shift_right(Bytes b) {
  return {_mm512_srli_epi32(b.v, Bits)};
}
inline I16x add(I16x a, I16x b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I16x subtract(I16x a, I16x b) { return {_mm512_sub_epi32(a.v, b.v)}; }
constexpr int kMostZeroKept = 128;
inline Bytes weight_bytes(Bytes b, int32_t) { return b; }
inline Bytes load_quad(const void* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return {_mm512_set1_epi32(quad)};
}
inline I16x dot4(I16x sum, Bytes u, Bytes s) { return {_mm512_dpbusd_epi32(sum.v, u.v, s.v)}; }
// dot4() in place: with the intrinsic, GCC 12 copies and spills sums where they fill the registers.
inline void add_dot4(I16x& sum, Bytes u, Bytes s) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(u.v), "v"(s.v));
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

// Rounds v * inverse to integers (ties to even), stores them as bytes and returns them as floats.
inline F16x store_rounded(int8_t* p, F16x v) {
  const __m512i rounded = _mm512_cvtps_epi32(v.v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(rounded));
  return {_mm512_cvtepi32_ps(rounded)};
}
// See shared/quantize.h. Words of two vectors go pairwise through each 128-bit lane.
inline F16x split_bytes(F16x a, F16x b, int8_t* near, int8_t* rest) {
  const __m512i words = _mm512_packs_epi32(_mm512_cvtps_epi32(a.v), _mm512_cvtps_epi32(b.v));
  const __m512i most = _mm512_set1_epi16(127);
  const __m512i least = _mm512_set1_epi16(-127);
  const __m512i within = _mm512_min_epi16(_mm512_max_epi16(words, least), most);
  const __m512i both = _mm512_packs_epi16(within, _mm512_sub_epi16(words, within));
  // of a lane: four of a, four of b, what those leave, what these leave
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes = _mm512_permutexvar_epi32(order, both);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(near), _mm512_castsi512_si256(bytes));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(rest), _mm512_extracti64x4_epi64(bytes, 1));
  const __m512i sums = _mm512_madd_epi16(words, _mm512_set1_epi16(1));
  return {_mm512_cvtepi32_ps(sums)};
}
inline F16x larger(F16x a, F16x b) {
  const __m512i most = _mm512_max_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v));
  return {_mm512_castsi512_ps(most)};
}
inline F16x smaller(F16x a, F16x b) {
  const __m512i least = _mm512_min_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v));
  return {_mm512_castsi512_ps(least)};
}
inline F16x max_of_quads(F16x a, F16x b, F16x c, F16x d) {
  const __m512 ab = larger({_mm512_unpacklo_ps(a.v, b.v)}, {_mm512_unpackhi_ps(a.v, b.v)}).v;
  const __m512 cd = larger({_mm512_unpacklo_ps(c.v, d.v)}, {_mm512_unpackhi_ps(c.v, d.v)}).v;
  return larger({_mm512_shuffle_ps(ab, cd, 0x44)}, {_mm512_shuffle_ps(ab, cd, 0xee)});
}
inline void transpose(F16x (&v)[16]) {
  // Blocks of 4 by 4 first: quarter q of fours[i + j] has lane 4 q + j of vectors i to i + 3.
  __m512d fours[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(v[i].v, v[i + 1].v));
    const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(v[i].v, v[i + 1].v));
    const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(v[i + 2].v, v[i + 3].v));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(v[i + 2].v, v[i + 3].v));
    fours[i] = _mm512_unpacklo_pd(a, c);
    fours[i + 1] = _mm512_unpackhi_pd(a, c);
    fours[i + 2] = _mm512_unpacklo_pd(b, d);
    fours[i + 3] = _mm512_unpackhi_pd(b, d);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 a = _mm512_castpd_ps(fours[j]), b = _mm512_castpd_ps(fours[4 + j]);
    const __m512 c = _mm512_castpd_ps(fours[8 + j]), d = _mm512_castpd_ps(fours[12 + j]);
    const __m512 even_ab = _mm512_shuffle_f32x4(a, b, 0x88),
                 odd_ab = _mm512_shuffle_f32x4(a, b, 0xdd);
    const __m512 even_cd = _mm512_shuffle_f32x4(c, d, 0x88),
                 odd_cd = _mm512_shuffle_f32x4(c, d, 0xdd);
    v[j].v = _mm512_shuffle_f32x4(even_ab, even_cd, 0x88);
    v[4 + j].v = _mm512_shuffle_f32x4(odd_ab, odd_cd, 0x88);
    v[8 + j].v = _mm512_shuffle_f32x4(even_ab, even_cd, 0xdd);
    v[12 + j].v = _mm512_shuffle_f32x4(odd_ab, odd_cd, 0xdd);
  }
}
inline void opaque(I16x& v) { asm volatile("" : "+v"(v.v)); }
inline void opaque(Bytes& v) { asm volatile("" : "+v"(v.v)); }
inline F16x abs(F16x v) { return {_mm512_abs_ps(v.v)}; }

}  // namespace
