#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

// Sixteen f32 lanes as one 512-bit register. Same operations and bits as scalar/vec16.h.
namespace {

struct F16x {
  __m512 v;
};
struct U16x {
  __m512i v;
};

// How many vectors are best taken side by side where chains of operations are long: see each() of
// shared/elementwise.h.
constexpr size_t kSideBySide = 4;

inline F16x set1(float v) { return {_mm512_set1_ps(v)}; }
inline F16x load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F16x v) { _mm512_storeu_ps(p, v.v); }
inline F16x add(F16x a, F16x b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F16x sub(F16x a, F16x b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F16x mul(F16x a, F16x b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F16x div(F16x a, F16x b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F16x fma(F16x a, F16x b, F16x c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F16x max(F16x a, F16x b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F16x min(F16x a, F16x b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F16x keep_first(F16x v, size_t count, float rest) {
  const auto mask = static_cast<__mmask16>(count < 16 ? (1u << count) - 1 : 0xffffu);
  return {_mm512_mask_blend_ps(mask, _mm512_set1_ps(rest), v.v)};
}

inline F16x keep_at_least(F16x v, F16x a, F16x b) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ), v.v)};
}
inline F16x add_at_least(F16x sum, F16x v, F16x a, F16x b) {
  return {_mm512_mask_add_ps(sum.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ), sum.v, v.v)};
}
inline uint32_t lanes_at_least(F16x a, F16x b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }

inline U16x load_words(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
inline F16x bf16_low(U16x words) { return {_mm512_castsi512_ps(_mm512_slli_epi32(words.v, 16))}; }
inline F16x bf16_high(U16x words) {
  const __m512i mask = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  return {_mm512_castsi512_ps(_mm512_and_si512(words.v, mask))};
}
inline F16x load_bf16(const uint16_t* p) {
  const __m512i wide =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline void store_bf16(uint16_t* p, F16x v) {
  const __m512i bits = _mm512_castps_si512(v.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i near = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
  const __mmask16 nan = _mm512_cmp_ps_mask(v.v, v.v, _CMP_UNORD_Q);
  const __m512i wide = _mm512_mask_or_epi32(near, nan, bits, _mm512_set1_epi32(0x400000));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(_mm512_srli_epi32(wide, 16)));
}

inline F16x load_int8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}

inline F16x pow2_of_magic(F16x v) {
  const __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(v.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_set1_epi32(0x3f800000)))};
}

inline float reduce_add(F16x v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v.v), _mm512_extractf32x8_ps(v.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float reduce_max(F16x v) { return _mm512_reduce_max_ps(v.v); }

inline void opaque(F16x& v) { asm volatile("" : "+v"(v.v)); }

// Into the first or second-level cache; in assembler, which GCC 12 does not leave out
// (docs/adr/0038).
inline void prefetch(const void* p) { asm volatile("prefetcht0 (%0)" ::"r"(p)); }
inline void prefetch_second(const void* p) { asm volatile("prefetcht1 (%0)" ::"r"(p)); }

}  // namespace
