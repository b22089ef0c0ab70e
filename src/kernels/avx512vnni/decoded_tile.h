#pragma once

#include "kernels/avx512vnni/decoded_weights.h"

// The products of shared/field_tile.h for many tokens: decoding, which competes with vpdpbusd for
// the same ports, is done once for all of them, and four fields by six tokens of sums fill the
// registers. The sums are the same exact integers, folded in the same order. The fields of ternary
// weights enter as their code instead of 4^f times that, which shows in no bit: scales are far from
// the ends of the floats' range (shared/quantize.h).
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::kFields;
using bitcpm::kernels::planes_of;
using bitcpm::kernels::QuantizedIo;

// sum += the products of one plane of T tokens, `row` bytes apart.
template <size_t T>
inline void add_decoded(const DecodedWeights& weights, const int8_t* plane, size_t row,
                        I16x (&sum)[kFields][T]) {
#pragma GCC unroll 8
  for (size_t i = 0; i < kGroupLines; ++i) {
    Bytes quad[T];
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) quad[t] = load_quad(plane + t * row + 4 * i);
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) {
      const Bytes u{_mm512_load_si512(weights.lines[i][f])};
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) add_dot4(sum[f][t], u, quad[t]);
    }
  }
}

// T tokens from `token` on by one chunk; inner and totals are theirs.
template <ActForm Act, size_t T, class Weights>
inline void decoded_tile(const Weights& w, const DecodedWeights* weights, const Chunk& chunk,
                         const QuantizedIo& io, size_t token, float (*inner)[kFieldRows],
                         float (*totals)[kFieldRows]) {
  static_assert(Act != ActForm::kInt16, "two planes gain nothing by it");
  const size_t act_groups = w.cols / kActGroup;
  const size_t row = planes_of(Act) * w.cols;
  for (size_t g = 0; g < chunk.count; ++g) {
    const size_t at = token * act_groups + chunk.begin + g;
    const int8_t* first = io.x.codes + at * planes_of(Act) * kActGroup;
    I16x sum[kFields][T];
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const I16x zero = zero_of(w, load_int(io.x.minus_sums + at + t * act_groups));
#pragma GCC unroll 4
      for (size_t f = 0; f < kFields; ++f) sum[f][t] = zero;
    }
    add_decoded<T>(weights[g], first, row, sum);
    if (Act == ActForm::kInt8Outlier) {
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) {
        const size_t line = io.x.lines[at + t * act_groups];
        const Bytes quad = load_quad(first + t * row + kActGroup + 4 * line);
#pragma GCC unroll 4
        for (size_t f = 0; f < kFields; ++f) {
          add_dot4(sum[f][t], {_mm512_load_si512(weights[g].lines[line][f])}, quad);
        }
      }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const F16x a = set1(io.x.scales[at + t * act_groups]);
#pragma GCC unroll 4
      for (size_t f = 0; f < kFields; ++f) {
        const F16x before = g == 0 && chunk.first ? set1(0) : load(inner[t] + 16 * f);
        store(inner[t] + 16 * f, fma(to_float(sum[f][t]), a, before));
      }
    }
  }
  if (!chunk.last) return;
  for (size_t f = 0; f < kFields; ++f) {
    const F16x scale = load_bf16(chunk.scales + 16 * f);
    for (size_t t = 0; t < T; ++t) {
      float* total = totals[t] + 16 * f;
      store(total, fma(scale, load(inner[t] + 16 * f), load(total)));
    }
  }
}

// Panels [first, last) by all tokens.
template <ActForm Act, class Weights>
void decoded_linear(const Weights& w, size_t first, size_t last, const QuantizedIo& io) {
  constexpr size_t kBlockTokens = 48;  // whose floats stay in the first-level cache
  DecodedWeights weights[kChunkGroups];
  alignas(64) float inner[kBlockTokens][kFieldRows];
  alignas(64) float totals[kBlockTokens][kFieldRows];
  for (size_t begin = 0; begin < io.tokens; begin += kBlockTokens) {
    const size_t tokens = io.tokens - begin < kBlockTokens ? io.tokens - begin : kBlockTokens;
    for (size_t panel = first; panel < last; ++panel) {
      __builtin_memset(totals, 0, tokens * sizeof(totals[0]));
      for (size_t group = 0; group < w.cols / kActGroup;) {
        const Chunk chunk = chunk_at(w, panel, group);
        for (size_t g = 0; g < chunk.count; ++g) {
          decode_group(w, panel, (group + g) * kActGroup, weights[g]);
        }
        size_t t = 0;
        for (; t + 6 <= tokens; t += 6) {
          decoded_tile<Act, 6>(w, weights, chunk, io, begin + t, inner + t, totals + t);
        }
        for (; t + 3 <= tokens; t += 3) {
          decoded_tile<Act, 3>(w, weights, chunk, io, begin + t, inner + t, totals + t);
        }
        for (; t < tokens; ++t) {
          decoded_tile<Act, 1>(w, weights, chunk, io, begin + t, inner + t, totals + t);
        }
        group += chunk.count;
      }
      const size_t row = panel * kFieldRows;
      const size_t rows = w.rows - row < kFieldRows ? w.rows - row : kFieldRows;
      for (size_t t = 0; t < tokens; ++t) {
        __builtin_memcpy(io.y + (begin + t) * io.ldy + row, totals[t], rows * sizeof(float));
      }
    }
  }
}

}  // namespace
