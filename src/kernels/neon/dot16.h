#pragma once

#include "kernels/neon/signed_weights.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

// Even and odd bytes apart, so that one widening product adds to the other: two of at most 128 *
// 127 stay below 32,767. Of the shuffles the compiler keeps one per weight, and one per input.
inline void dot4_half(int32x4_t& sum0, int32x4_t& sum1, const uint8x16_t* u, const uint8x16_t* s) {
  const int8x16_t u_even = vreinterpretq_s8_u8(vuzp1q_u8(u[0], u[1]));
  const int8x16_t u_odd = vreinterpretq_s8_u8(vuzp2q_u8(u[0], u[1]));
  const int8x16_t s_even = vreinterpretq_s8_u8(vuzp1q_u8(s[0], s[1]));
  const int8x16_t s_odd = vreinterpretq_s8_u8(vuzp2q_u8(s[0], s[1]));
  const int16x8_t even0 = vmull_s8(vget_low_s8(u_even), vget_low_s8(s_even));
  const int16x8_t even1 = vmull_high_s8(u_even, s_even);
  sum0 = vpadalq_s16(sum0, vmlal_s8(even0, vget_low_s8(u_odd), vget_low_s8(s_odd)));
  sum1 = vpadalq_s16(sum1, vmlal_high_s8(even1, u_odd, s_odd));
}
inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  dot4_half(sum.q[0], sum.q[1], u.q, s.q);
  dot4_half(sum.q[2], sum.q[3], u.q + 2, s.q + 2);
  return sum;
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

}  // namespace
