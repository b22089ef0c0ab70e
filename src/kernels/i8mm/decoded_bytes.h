#pragma once

#include "kernels/i8mm/dot16.h"
#include "kernels/neon/lane_inputs.h"

// See shared/decoded_weights.h.
namespace {

// Unsigned bytes, codes or weights plus their zero.
struct DecodedBytes {
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 6;
  alignas(64) uint8_t bytes[64];

  struct Operand {
    const uint8_t* bytes;
    uint8x16_t quarter(int i) const { return vld1q_u8(bytes + 16 * i); }
  };
  void put(Bytes b) {
    for (int i = 0; i < 4; ++i) vst1q_u8(bytes + 16 * i, b.q[i]);
  }
  Operand operand() const { return {bytes}; }

  struct Sums {
    I16x sum;

    void start(I16x from) { sum = from; }
    void add(Operand u, Bytes quad) {
      for (int i = 0; i < 4; ++i) {
        sum.q[i] = vusdotq_s32(sum.q[i], u.quarter(i), vreinterpretq_s8_u8(quad.q[i]));
      }
    }
    template <int Lane>
    void add(Operand u, LaneQuad<Lane> quad) {
      for (int i = 0; i < 4; ++i) {
        sum.q[i] = vusdotq_laneq_s32(sum.q[i], u.quarter(i), quad.codes, Lane);
      }
    }
    I16x total(I16x) const { return sum; }
  };
};

using DecodedCodes = DecodedBytes;
using DecodedInt8 = DecodedBytes;

}  // namespace
