#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/avx512vnni/chunk.h"

// From integer sums of tiles to floats, in the order of shared/field_tile.h.
namespace {

using bitcpm::kernels::kFieldRows;
using bitcpm::kernels::kFields;

struct TileSums {
  alignas(64) int32_t field[kFields][kTileRows][16];
};

// Folds the sums of N activation groups, the whole of a weight group or not: of `tokens` tokens,
// whose scales are `stride` apart.
template <size_t N, bool Whole>
inline void fold(const TileSums* sums, const float* act_scales, size_t stride, size_t tokens,
                 const Chunk& chunk, float (*inner)[kFieldRows], float (*totals)[kFieldRows]) {
  const bool first = Whole || chunk.first;
  const bool last = Whole || chunk.last;
  F16x weight_scale[kFields];
#pragma GCC unroll 4
  for (size_t f = 0; f < kFields; ++f) weight_scale[f] = load_bf16(chunk.scales + 16 * f);
  for (size_t t = 0; t < tokens; ++t, act_scales += stride) {
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) {
      F16x in = first ? set1(0) : load(inner[t] + 16 * f);
#pragma GCC unroll 4
      for (size_t g = 0; g < N; ++g) {
        const I16x sum{_mm512_load_si512(sums[g].field[f][t])};
        in = fma(to_float(sum), set1(act_scales[g]), in);
      }
      if (last) {
        store(totals[t] + 16 * f, fma(weight_scale[f], in, load(totals[t] + 16 * f)));
      } else {
        store(inner[t] + 16 * f, in);
      }
    }
  }
}

inline auto fold_of(const Chunk& chunk) {
  const bool whole = chunk.whole();
  return chunk.count == 4   ? (whole ? fold<4, true> : fold<4, false>)
         : chunk.count == 2 ? (whole ? fold<2, true> : fold<2, false>)
                            : (whole ? fold<1, true> : fold<1, false>);
}

}  // namespace
