#pragma once

#include "kernels/neon/bytes16.h"

// Integer dot products over sixteen 32-bit lanes. Same operations and bits as scalar/dot16.h.
namespace {

constexpr int kMostZeroKept = 128;
inline Bytes weight_bytes(Bytes b, int32_t) { return b; }

inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  return quarters<I16x>(
      [&](int i) { return vusdotq_s32(sum.q[i], u.q[i], vreinterpretq_s8_u8(s.q[i])); });
}
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

}  // namespace
