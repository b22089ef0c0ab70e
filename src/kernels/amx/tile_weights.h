#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/avx512vnni/chunk.h"

// Field-packed weights as operands of tile_dot(). A line of them has the layout of a tile's row
// already: four in-features of sixteen rows.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::kInt16Base;

constexpr size_t kTileLines = kTileRows;  // lines, of four in-features each, that fill a tile
constexpr size_t kMostSteps = kMostLines / kTileLines;  // tiles along a chunk

// One field of the in-features that a tile takes.
struct TileWeights {
  alignas(64) uint8_t rows[kTileRows][kTileRowBytes];

  void put(size_t row, __m512i bytes) { _mm512_store_si512(rows[row], bytes); }
};

// One chunk of a panel. Activations of kInt16 meet `often` twice with their first plane, since
// 127 w + 127 w = 254 w.
static_assert(kInt16Base == 2 * 127, "the planes of kInt16");
struct ChunkWeights {
  TileWeights once[kMostSteps][kFields];   // w
  TileWeights often[kMostSteps][kFields];  // 127 w, for kInt16
};

// By code, what _mm512_shuffle_epi8 looks up in each quarter.
inline __m512i by_code(int8_t minus, int8_t plus) {
  return _mm512_broadcast_i32x4(
      _mm_setr_epi8(minus, 0, plus, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

template <ActForm Act>
inline void decode_chunk(const TernaryFields& w, size_t panel, const Chunk& chunk,
                         ChunkWeights& out) {
  const __m512i code_bits = _mm512_set1_epi8(3);
  const __m512i once = by_code(-1, 1);
  const __m512i often = by_code(-127, 127);
  TernaryForm::Lines lines(w, panel, chunk.begin);
  for (size_t i = 0; i < chunk.size / 4; ++i, lines.next()) {
    lines.prefetch_ahead();
    const size_t step = i / kTileLines;
    const size_t row = i % kTileLines;
    __m512i line = _mm512_loadu_si512(lines.line);
    for (size_t f = 0; f < kFields; ++f) {
      const __m512i code = _mm512_and_si512(line, code_bits);
      out.once[step][f].put(row, _mm512_shuffle_epi8(once, code));
      if (Act == ActForm::kInt16) out.often[step][f].put(row, _mm512_shuffle_epi8(often, code));
      line = _mm512_srli_epi32(line, 2);
    }
  }
}

template <ActForm Act>
inline void decode_chunk(const Int8Fields& w, size_t panel, const Chunk& chunk, ChunkWeights& out) {
  static_assert(Act == ActForm::kInt8, "8-bit weights meet activations of 8 bits only");
  const __m512i sign = _mm512_set1_epi8(-128);  // what turns weight + 128 into the weight
  Int8Form::Lines lines(w, panel, chunk.begin);
  for (size_t i = 0; i < chunk.size / 4; ++i, lines.next()) {
    lines.prefetch_ahead();
    for (size_t f = 0; f < kFields; ++f) {
      out.once[i / kTileLines][f].put(i % kTileLines,
                                      _mm512_xor_si512(Int8Form::field(lines, f).v, sign));
    }
  }
}

}  // namespace
