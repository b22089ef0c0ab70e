#pragma once

#include "kernels/avx2/dot16.h"
#include "kernels/table.h"
// After dot16.h, on which it is written.
#include "kernels/shared/quad_inputs.h"

// See shared/decoded_weights.h. vpmaddubsw adds pairs of products in 16 bits; sums with ternary
// codes stay there until all of a plane are added.
namespace {

using bitcpm::kernels::kMostActGroup;
using bitcpm::kernels::kQuadEvery;

struct DecodedCodes {
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 6;
  alignas(64) uint8_t bytes[64];

  void put(Bytes codes) { store_bytes(bytes, codes); }
  Bytes operand() const { return load_bytes(bytes); }

  // Four in-features, or a quad of a second plane, add two products with a code of at most 2 to a
  // lane: no more than 508.
  static_assert(508 * (kMostActGroup / 4 + kMostActGroup / kQuadEvery) < 1 << 15, "16 bits do");
  struct Sums {
    __m256i lo, hi;

    void start(I16x) { lo = hi = _mm256_setzero_si256(); }
    void add(Bytes u, Bytes s) {
      lo = _mm256_add_epi16(lo, _mm256_maddubs_epi16(u.lo, s.lo));
      hi = _mm256_add_epi16(hi, _mm256_maddubs_epi16(u.hi, s.hi));
    }
    I16x total(I16x start) const {
      const __m256i one = _mm256_set1_epi16(1);
      return {_mm256_add_epi32(start.lo, _mm256_madd_epi16(lo, one)),
              _mm256_add_epi32(start.hi, _mm256_madd_epi16(hi, one))};
    }
  };
};

inline void opaque(DecodedCodes::Sums& sums) { asm volatile("" : "+x"(sums.lo), "+x"(sums.hi)); }

// What dot4() makes of a weight is kept beside it.
struct DecodedInt8 {
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 4;
  alignas(64) uint8_t weights[64];
  uint8_t sizes[64];

  struct Operand {
    Bytes weights, sizes;
  };
  void put(Bytes w) {
    store_bytes(weights, w);
    store_bytes(sizes, magnitudes(w));
  }
  Operand operand() const { return {load_bytes(weights), load_bytes(sizes)}; }

  struct Sums {
    I16x sum;

    void start(I16x from) { sum = from; }
    void add(const Operand& w, Bytes s) {
      sum = dot4_small(sum, w.sizes, with_signs(s, w.weights));
    }
    I16x total(I16x) const { return sum; }
  };
};

}  // namespace
