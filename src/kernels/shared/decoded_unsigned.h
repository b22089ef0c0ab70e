#pragma once

#include "kernels/shared/quad_inputs.h"

// What decoded_weights.h asks for, for levels that multiply unsigned bytes by signed ones in one
// instruction: codes and weights plus their zero alike. Written once over the add_dot4() of the
// including level, whose registers hold the sums of Fields fields by six tokens.
namespace {

template <size_t Fields>
struct DecodedUnsigned {
  static constexpr size_t kFieldsAtOnce = Fields, kTokens = 6;
  alignas(64) uint8_t bytes[64];

  void put(Bytes b) { store_bytes(bytes, b); }
  Bytes operand() const { return load_bytes(bytes); }

  struct Sums {
    I16x sum;

    void start(I16x from) { sum = from; }
    void add(Bytes u, Bytes s) { add_dot4(sum, u, s); }
    I16x total(I16x) const { return sum; }
  };
};

}  // namespace
