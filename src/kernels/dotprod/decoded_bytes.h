#pragma once

#include "kernels/dotprod/dot16.h"
#include "kernels/neon/lane_inputs.h"

// See shared/decoded_weights.h. Signed bytes: what Zero stands for is taken off.
namespace {

template <uint8_t Zero>
struct DecodedSigned {
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 6;
  alignas(64) int8_t weights[64];

  struct Operand {
    const int8_t* weights;
    int8x16_t quarter(int i) const { return vld1q_s8(weights + 16 * i); }
  };
  void put(Bytes b) {
    for (int i = 0; i < 4; ++i) {
      vst1q_s8(weights + 16 * i, vreinterpretq_s8_u8(vsubq_u8(b.q[i], vdupq_n_u8(Zero))));
    }
  }
  Operand operand() const { return {weights}; }
  static I16x offset(I16x) { return {}; }

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

using DecodedCodes = DecodedSigned<1>;
using DecodedInt8 = DecodedSigned<0>;  // signed_weights.h has taken it off

}  // namespace
