#pragma once

#include "kernels/neon/signed_weights.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  return quarters<I16x>([&](int i) {
    return vdotq_s32(sum.q[i], vreinterpretq_s8_u8(u.q[i]), vreinterpretq_s8_u8(s.q[i]));
  });
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

}  // namespace
