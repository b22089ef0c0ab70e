#pragma once

#include "kernels/neon/signed_weights.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

inline int32x4_t dot_quarter(int32x4_t sum, uint8x16_t w, int8x16_t s) {
  return vdotq_s32(sum, vreinterpretq_s8_u8(w), s);
}
// The same with the quad number Lane of s.
template <int Lane>
inline int32x4_t dot_quarter(int32x4_t sum, uint8x16_t w, int8x16_t s) {
  return vdotq_laneq_s32(sum, vreinterpretq_s8_u8(w), s, Lane);
}
inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  return quarters<I16x>(
      [&](int i) { return dot_quarter(sum.q[i], u.q[i], vreinterpretq_s8_u8(s.q[i])); });
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

}  // namespace
