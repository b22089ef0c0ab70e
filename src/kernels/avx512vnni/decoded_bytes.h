#pragma once

#include "kernels/avx512vnni/dot16.h"
// After dot16.h, on which it is written.
#include "kernels/shared/quad_inputs.h"

// See shared/decoded_weights.h.
namespace {

// Unsigned bytes, codes or weights plus their zero. Four fields by six tokens of sums fill the
// registers.
struct DecodedBytes {
  static constexpr size_t kFieldsAtOnce = 4, kTokens = 6;
  alignas(64) uint8_t bytes[64];

  void put(Bytes b) { store_bytes(bytes, b); }
  Bytes operand() const { return {_mm512_load_si512(bytes)}; }

  struct Sums {
    I16x sum;

    void start(I16x from) { sum = from; }
    // dot4() in place: with the intrinsic, GCC 12 copies and spills sums.
    void add(Bytes u, Bytes s) { asm("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(u.v), "v"(s.v)); }
    I16x total(I16x) const { return sum; }
  };
};

using DecodedCodes = DecodedBytes;
using DecodedInt8 = DecodedBytes;

}  // namespace
