#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/shared/chunk.h"

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

// By two codes, what _mm512_shuffle_epi8 looks up in each quarter: W times the weight of the lower
// code (0) or the upper one (1).
template <int8_t W>
inline __m512i by_codes(size_t which) {
  const __m128i lower = _mm_setr_epi8(-W, 0, W, 0, -W, 0, W, 0, -W, 0, W, 0, -W, 0, W, 0);
  const __m128i upper = _mm_setr_epi8(-W, -W, -W, -W, 0, 0, 0, 0, W, W, W, W, 0, 0, 0, 0);
  return _mm512_broadcast_i32x4(which == 0 ? lower : upper);
}

template <ActForm Act>
inline void put_line(TernaryForm, const TernaryForm::Lines& lines, size_t row, size_t step,
                     ChunkWeights& out) {
  const __m512i two_codes = _mm512_set1_epi8(15);
  const __m512i line = _mm512_loadu_si512(lines.line);
  const __m512i halves[2] = {_mm512_and_si512(line, two_codes),
                             _mm512_and_si512(_mm512_srli_epi32(line, 4), two_codes)};
  for (size_t f = 0; f < kFields; ++f) {
    const __m512i codes = halves[f / 2];
    out.once[step][f].put(row, _mm512_shuffle_epi8(by_codes<1>(f % 2), codes));
    if (Act == ActForm::kInt8) continue;
    out.often[step][f].put(row, _mm512_shuffle_epi8(by_codes<127>(f % 2), codes));
  }
}

// Of a form of bytes.
template <ActForm Act, class Form>
inline void put_line(Form, const typename Form::Lines& lines, size_t row, size_t step,
                     ChunkWeights& out) {
  static_assert(Act == ActForm::kInt8, "8-bit weights meet activations of 8 bits only");
#pragma GCC unroll 4
  for (size_t f = 0; f < kFields; ++f) out.once[step][f].put(row, lines.weights(f).v);
}

// Decodes one chunk of a panel, some lines at a time.
template <ActForm Act, class Form>
class ChunkDecoder {
 public:
  ChunkDecoder(const typename Form::Weights& w, size_t panel, const Chunk& chunk, ChunkWeights& out)
      : lines_(w, panel, chunk.begin), count_(chunk.size / 4), out_(&out) {}

  [[gnu::always_inline]] inline void some(size_t most) {
    for (size_t i = 0; i < most && done_ < count_; ++i, ++done_, lines_.next()) {
      lines_.ask_ahead();
      put_line<Act>(Form{}, lines_, done_ % kTileLines, done_ / kTileLines, *out_);
    }
  }
  void all() { some(count_); }  // that are left

 private:
  typename Form::Lines lines_;
  size_t count_;
  size_t done_ = 0;
  ChunkWeights* out_;
};

}  // namespace
