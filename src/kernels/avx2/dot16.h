#pragma once

#include "kernels/avx2/bytes16.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h, but
// 8-bit weights are signed: vpmaddubsw takes those if their inputs have taken the signs.
namespace {

constexpr int kMostZeroKept = 64;
inline Bytes weight_bytes(Bytes b, int32_t) { return b; }

// vpmaddubsw saturates at 32,767; two products of at most 128 * 127 stay below.
inline __m256i dot4_small_half(__m256i sum, __m256i u, __m256i s) {
  const __m256i pairs = _mm256_maddubs_epi16(u, s);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) {
  return {dot4_small_half(sum.lo, u.lo, s.lo), dot4_small_half(sum.hi, u.hi, s.hi)};
}

inline Bytes magnitudes(Bytes w) { return {_mm256_abs_epi8(w.lo), _mm256_abs_epi8(w.hi)}; }
inline Bytes with_signs(Bytes s, Bytes of) {
  return {_mm256_sign_epi8(s.lo, of.lo), _mm256_sign_epi8(s.hi, of.hi)};
}
inline I16x dot4(I16x sum, Bytes w, Bytes s) {
  return dot4_small(sum, magnitudes(w), with_signs(s, w));
}

}  // namespace
