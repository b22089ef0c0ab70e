#pragma once

#include "kernels/neon/bytes16.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

constexpr int kMostZeroKept = 128;
inline Bytes weight_bytes(Bytes b, int32_t) { return b; }

inline int32x4_t dot_quarter(int32x4_t sum, uint8x16_t w, int8x16_t s) {
  return vusdotq_s32(sum, w, s);
}
// The same with the quad number Lane of s.
template <int Lane>
inline int32x4_t dot_quarter(int32x4_t sum, uint8x16_t w, int8x16_t s) {
  return vusdotq_laneq_s32(sum, w, s, Lane);
}
inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  return quarters<I16x>(
      [&](int i) { return dot_quarter(sum.q[i], u.q[i], vreinterpretq_s8_u8(s.q[i])); });
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

}  // namespace
