#pragma once

#include "kernels/avx512vnni/chunk.h"

// Field-packed weights as bytes of their own, for products with many tokens.
namespace {

// Weights of one chunk, plus their zero, as unsigned bytes.
struct DecodedWeights {
  alignas(64) uint8_t lines[kMostLines][kFields][kFieldRows];
};

inline void decode_chunk(const TernaryFields& w, size_t panel, const Chunk& chunk,
                         DecodedWeights& out) {
  const __m512i code_bits = _mm512_set1_epi8(3);
  TernaryForm::Lines lines(w, panel, chunk.begin);
  for (size_t i = 0; i < chunk.size / 4; ++i, lines.next()) {
    lines.prefetch_ahead();
    __m512i line = _mm512_loadu_si512(lines.line);
    for (size_t f = 0; f < kFields; ++f, line = _mm512_srli_epi32(line, 2)) {
      _mm512_store_si512(out.lines[i][f], _mm512_and_si512(line, code_bits));
    }
  }
}
inline I16x zero_of(const TernaryFields&, I16x minus_sum) { return minus_sum; }

inline void decode_chunk(const Int8Fields& w, size_t panel, const Chunk& chunk,
                         DecodedWeights& out) {
  Int8Form::Lines lines(w, panel, chunk.begin);
  for (size_t i = 0; i < chunk.size / 4; ++i, lines.next()) {
    lines.prefetch_ahead();
    for (size_t f = 0; f < kFields; ++f) {
      _mm512_store_si512(out.lines[i][f], Int8Form::field(lines, f).v);
    }
  }
}
inline I16x zero_of(const Int8Fields&, I16x minus_sum) { return Int8Form::offset(0, minus_sum); }

// dot4() in place: with the intrinsic, GCC 12 copies and spills sums.
inline void add_dot4(I16x& sum, Bytes u, Bytes s) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(u.v), "v"(s.v));
}

}  // namespace
