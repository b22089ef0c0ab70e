#pragma once

#include "kernels/neon/bytes16.h"

// The Inputs of shared/decoded_weights.h for levels whose products take a quad of a register by its
// place: four lines of weights meet what one load has brought.
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

}  // namespace
