#pragma once

#include "kernels/neon/bytes16.h"

// For the levels whose dot products multiply signed bytes: the zero of a weight is subtracted where
// 2 * zero would not fit, which is in the highest field of ternary lines.
namespace {

constexpr int kMostZeroKept = 32;
inline Bytes weight_bytes(Bytes b, int32_t zero) {
  const uint8x16_t z = vdupq_n_u8(static_cast<uint8_t>(zero > kMostZeroKept ? zero : 0));
  return quarters<Bytes>([&](int i) { return vsubq_u8(b.q[i], z); });
}

}  // namespace
