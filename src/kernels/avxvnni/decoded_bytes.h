#pragma once

#include "kernels/avxvnni/dot16.h"
// After dot16.h, on which it is written.
#include "kernels/shared/quad_inputs.h"

// See shared/decoded_weights.h.
namespace {

// Unsigned bytes, codes or weights plus their zero. One field by six tokens of sums fills the
// registers.
struct DecodedBytes {
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 6;
  alignas(64) uint8_t bytes[64];

  void put(Bytes b) { store_bytes(bytes, b); }
  Bytes operand() const { return load_bytes(bytes); }

  struct Sums {
    I16x sum;

    void start(I16x from) { sum = from; }
    void add(Bytes u, Bytes s) { sum = dot4(sum, u, s); }
    I16x total(I16x) const { return sum; }
  };
};

using DecodedCodes = DecodedBytes;
using DecodedInt8 = DecodedBytes;

}  // namespace
