#pragma once

#include "kernels/dotprod/dot16.h"
#include "kernels/neon/lane_inputs.h"

// See shared/decoded_weights.h.
namespace {

// Signed bytes: codes, or 8-bit weights, whose zero signed_weights.h has taken off.
struct DecodedBytes {
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 6;
  alignas(64) int8_t bytes[64];

  struct Operand {
    const int8_t* bytes;
    int8x16_t quarter(int i) const { return vld1q_s8(bytes + 16 * i); }
  };
  void put(Bytes b) {
    for (int i = 0; i < 4; ++i) vst1q_s8(bytes + 16 * i, vreinterpretq_s8_u8(b.q[i]));
  }
  Operand operand() const { return {bytes}; }

  struct Sums {
    I16x sum;

    void start(I16x from) { sum = from; }
    void add(Operand w, Bytes quad) {
      for (int i = 0; i < 4; ++i) {
        sum.q[i] = vdotq_s32(sum.q[i], w.quarter(i), vreinterpretq_s8_u8(quad.q[i]));
      }
    }
    template <int Lane>
    void add(Operand w, LaneQuad<Lane> quad) {
      for (int i = 0; i < 4; ++i) {
        sum.q[i] = vdotq_laneq_s32(sum.q[i], w.quarter(i), quad.codes, Lane);
      }
    }
    I16x total(I16x) const { return sum; }
  };
};

using DecodedCodes = DecodedBytes;
using DecodedInt8 = DecodedBytes;

}  // namespace
