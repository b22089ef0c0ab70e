#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

// Sixteen f32 lanes as two 256-bit registers. Same operations and bits as scalar/vec16.h.
namespace {

struct F16x {
  __m256 lo, hi;
};
struct U16x {
  __m256i lo, hi;
};

// How many vectors are best taken side by side where chains of operations are long: see each() of
// shared/elementwise.h.
constexpr size_t kSideBySide = 1;

inline F16x set1(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
inline F16x load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F16x v) {
  _mm256_storeu_ps(p, v.lo);
  _mm256_storeu_ps(p + 8, v.hi);
}
inline F16x add(F16x a, F16x b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F16x sub(F16x a, F16x b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F16x mul(F16x a, F16x b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F16x div(F16x a, F16x b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F16x fma(F16x a, F16x b, F16x c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F16x max(F16x a, F16x b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F16x min(F16x a, F16x b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F16x keep_first(F16x v, size_t count, float rest) {
  const __m256i n = _mm256_set1_epi32(static_cast<int>(count < 16 ? count : 16));
  const __m256i lo = _mm256_cmpgt_epi32(n, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const __m256i hi = _mm256_cmpgt_epi32(n, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15));
  const __m256 r = _mm256_set1_ps(rest);
  return {_mm256_blendv_ps(r, v.lo, _mm256_castsi256_ps(lo)),
          _mm256_blendv_ps(r, v.hi, _mm256_castsi256_ps(hi))};
}

inline F16x keep_at_least(F16x v, F16x a, F16x b) {
  return {_mm256_and_ps(v.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ)),
          _mm256_and_ps(v.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ))};
}
inline F16x add_at_least(F16x sum, F16x v, F16x a, F16x b) {
  return add(sum, keep_at_least(v, a, b));
}
inline uint32_t lanes_at_least(F16x a, F16x b) {
  const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ));
  const int hi = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ));
  return static_cast<uint32_t>(lo | hi << 8);
}

inline U16x load_words(const uint32_t* p) {
  const auto* words = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(words), _mm256_loadu_si256(words + 1)};
}
inline F16x bf16_low(U16x words) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(words.lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(words.hi, 16))};
}
inline F16x bf16_high(U16x words) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return {_mm256_castsi256_ps(_mm256_and_si256(words.lo, mask)),
          _mm256_castsi256_ps(_mm256_and_si256(words.hi, mask))};
}
inline F16x load_bf16(const uint16_t* p) {
  const auto* halves = reinterpret_cast<const __m128i*>(p);
  const __m256i lo = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves));
  const __m256i hi = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves + 1));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}
// The upper halves are the results.
inline __m256i nearest_bf16(__m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i near = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(near, quiet, nan);
}
inline void store_bf16(uint16_t* p, F16x v) {
  const __m256i lo = _mm256_srli_epi32(nearest_bf16(v.lo), 16);
  const __m256i hi = _mm256_srli_epi32(nearest_bf16(v.hi), 16);
  const __m256i packed = _mm256_packus_epi32(lo, hi);  // quarters of lo and hi in turn
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}

inline F16x load_int8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}

inline __m256 pow2_half(__m256 v) {
  const __m256i shifted = _mm256_slli_epi32(_mm256_castps_si256(v), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(shifted, _mm256_set1_epi32(0x3f800000)));
}
inline F16x pow2_of_magic(F16x v) { return {pow2_half(v.lo), pow2_half(v.hi)}; }

inline float reduce_add(F16x v) {
  const __m256 eight = _mm256_add_ps(v.lo, v.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float reduce_max(F16x v) {
  const __m256 eight = _mm256_max_ps(v.lo, v.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

inline void opaque(F16x& v) { asm volatile("" : "+x"(v.lo), "+x"(v.hi)); }

// Into the first or second-level cache; in assembler, which GCC 12 does not leave out
// (docs/adr/0038).
inline void prefetch(const void* p) { asm volatile("prefetcht0 (%0)" ::"r"(p)); }
inline void prefetch_second(const void* p) { asm volatile("prefetcht1 (%0)" ::"r"(p)); }

}  // namespace
