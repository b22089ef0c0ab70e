#pragma once

// What shared/decoded_weights.h asks for, for levels whose products take a quad of a register by
// its place: four lines of weights meet what one load has brought. Written once over the dot16.h of
// the including level, which multiplies what field() of a form of 8 bits returns, signed or not.
namespace {

// Four in-features of a token, number Lane of a register.
template <int Lane>
struct LaneQuad {
  int8x16_t codes;
};

struct Inputs {
  static constexpr size_t kLines = 4;

  void load(const int8_t* at) { codes = vld1q_s8(at); }
  template <size_t Line>
  LaneQuad<Line> line() const {
    return {codes};
  }

  int8x16_t codes;
};

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
    void add(Operand w, Bytes quad) {
      for (int i = 0; i < 4; ++i) {
        sum.q[i] = dot_quarter(sum.q[i], w.quarter(i), vreinterpretq_s8_u8(quad.q[i]));
      }
    }
    template <int Lane>
    void add(Operand w, LaneQuad<Lane> quad) {
      for (int i = 0; i < 4; ++i) {
        sum.q[i] = dot_quarter<Lane>(sum.q[i], w.quarter(i), quad.codes);
      }
    }
    I16x total(I16x) const { return sum; }
  };
};

using DecodedCodes = DecodedBytes;
using DecodedInt8 = DecodedBytes;

}  // namespace
