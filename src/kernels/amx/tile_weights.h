#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/avx512vnni/chunk.h"

// Field-packed weights as operands of tile_dot(). A line of them has the layout of a tile's row
// already: four in-features of sixteen rows.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::kActGroup;
using bitcpm::kernels::kFields;
using bitcpm::kernels::kInt16Base;

static_assert(2 * kGroupLines == kTileRows, "two planes of 32 in-features fill a tile");

// One field of 32 in-features. Activations of one plane meet rows 0-7, those of two planes all:
//   kInt8         w
//   kInt8Outlier  w, w
//   kInt16        127 w, w; rows 0-7 serve once more, since 127 w + 127 w = 254 w
struct TileWeights {
  alignas(64) uint8_t rows[kTileRows][kTileRowBytes];

  void put(size_t row, __m512i bytes) { _mm512_store_si512(rows[row], bytes); }
};

// By code, what _mm512_shuffle_epi8 looks up in each quarter.
inline __m512i by_code(int8_t minus, int8_t plus) {
  return _mm512_broadcast_i32x4(
      _mm_setr_epi8(minus, 0, plus, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

static_assert(kInt16Base == 2 * 127, "the planes of kInt16");

// All fields of the in-features [k, k + 32) of a panel.
template <ActForm Act>
inline void decode_group(const TernaryFields& w, size_t panel, size_t k,
                         TileWeights (&out)[kFields]) {
  const __m512i code_bits = _mm512_set1_epi8(3);
  const __m512i once = by_code(-1, 1);
  const __m512i often = by_code(-127, 127);
  TernaryForm::Lines lines(w, panel, k);
  for (size_t i = 0; i < kGroupLines; ++i, lines.next()) {
    lines.prefetch_ahead();
    __m512i line = _mm512_loadu_si512(lines.line);
    for (size_t f = 0; f < kFields; ++f) {
      const __m512i code = _mm512_and_si512(line, code_bits);
      const __m512i weight = _mm512_shuffle_epi8(once, code);
      if (Act == ActForm::kInt16) {
        out[f].put(i, _mm512_shuffle_epi8(often, code));
      } else {
        out[f].put(i, weight);
      }
      if (Act != ActForm::kInt8) out[f].put(kGroupLines + i, weight);
      line = _mm512_srli_epi32(line, 2);
    }
  }
}

template <ActForm Act>
inline void decode_group(const Int8Fields& w, size_t panel, size_t k, TileWeights (&out)[kFields]) {
  static_assert(Act == ActForm::kInt8, "8-bit weights meet activations of 8 bits only");
  const __m512i sign = _mm512_set1_epi8(-128);  // what turns weight + 128 into the weight
  Int8Form::Lines lines(w, panel, k);
  for (size_t i = 0; i < kGroupLines; ++i, lines.next()) {
    lines.prefetch_ahead();
    for (size_t f = 0; f < kFields; ++f) {
      out[f].put(i, _mm512_xor_si512(Int8Form::field(lines, f).v, sign));
    }
  }
}

}  // namespace
