#pragma once

#include "kernels/avx512vnni/decoded_weights.h"

// The products of shared/field_tile.h for many tokens: decoding, which competes with vpdpbusd for
// the same ports, is done once for all of them, and four fields by six tokens of sums fill the
// registers. The sums are the same exact integers, folded in the same order. The fields of ternary
// weights enter as their code instead of 4^f times that, which shows in no bit: scales are far from
// the ends of the floats' range (shared/quantize.h).
namespace {

using bitcpm::kernels::kQuadEvery;

// What a tile of T tokens reads of its activations.
struct TileActs {
  const int8_t* codes;  // the first plane; the second follows
  const uint8_t* lines;
  const float* scales;
  const int32_t* minus_sums;
  size_t pitch, names, groups;  // from one token to the next

  TileActs(const QuantizedIo& io, size_t cols, const Chunk& chunk, size_t token)
      : pitch(io.x.pitch), names(cols / kQuadEvery), groups(cols / chunk.size) {
    codes = io.x.codes + token * pitch + 2 * chunk.begin;
    lines = io.x.lines + token * names + chunk.begin / kQuadEvery;
    scales = io.x.scales + token * groups + chunk.index();
    minus_sums = io.x.minus_sums + token * groups + chunk.index();
  }
};

// sum += the products of T tokens.
template <size_t T>
inline void add_decoded(const DecodedWeights& weights, size_t size, const TileActs& x,
                        I16x (&sum)[kFields][T]) {
  for (size_t i = 0; i < size / 4; ++i) {
    Bytes quad[T];
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) quad[t] = load_quad(x.codes + t * x.pitch + 4 * i);
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) {
      const Bytes u{_mm512_load_si512(weights.lines[i][f])};
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) add_dot4(sum[f][t], u, quad[t]);
    }
  }
  for (size_t i = 0; i < size / kQuadEvery; ++i) {
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const size_t line = x.lines[t * x.names + i];
      const Bytes quad = load_quad(x.codes + t * x.pitch + size + 4 * line);
#pragma GCC unroll 4
      for (size_t f = 0; f < kFields; ++f) {
        add_dot4(sum[f][t], {_mm512_load_si512(weights.lines[line][f])}, quad);
      }
    }
  }
}

// T tokens from `token` on by one chunk; inner and totals are theirs.
template <size_t T, class Weights>
inline void decoded_tile(const Weights& w, size_t panel, const DecodedWeights& weights,
                         const Chunk& chunk, const QuantizedIo& io, size_t token, float* inner,
                         float* totals) {
  const TileActs x(io, w.cols, chunk, token);
  I16x sum[kFields][T];
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
    const I16x zero = zero_of(w, load_int(x.minus_sums + t * x.groups));
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) sum[f][t] = zero;
  }
  add_decoded<T>(weights, chunk.size, x, sum);
  fold(T, chunk, x.scales, x.groups, fold_rows(w, panel, chunk, io, token, inner, totals),
       [&](size_t t, size_t f) { return sum[f][t]; });
}

// Panels [first, last) by all tokens.
template <class Weights>
void decoded_linear(const Weights& w, size_t first, size_t last, const QuantizedIo& io) {
  constexpr size_t kBlockTokens = 64;  // whose floats stay in the first-level cache
  DecodedWeights weights;
  alignas(64) float inner[kBlockTokens][kFieldRows];
  alignas(64) float totals[kBlockTokens][kFieldRows];
  for (size_t begin = 0; begin < io.tokens; begin += kBlockTokens) {
    const size_t tokens = io.tokens - begin < kBlockTokens ? io.tokens - begin : kBlockTokens;
    for (size_t panel = first; panel < last; ++panel) {
      for (size_t k = 0; k < w.cols; k += io.x.group) {
        const Chunk chunk = chunk_at(w, panel, k, io.x.group);
        decode_chunk(w, panel, chunk, weights);
        size_t t = 0;
        for (; t + 6 <= tokens; t += 6) {
          decoded_tile<6>(w, panel, weights, chunk, io, begin + t, inner[t], totals[t]);
        }
        for (; t + 3 <= tokens; t += 3) {
          decoded_tile<3>(w, panel, weights, chunk, io, begin + t, inner[t], totals[t]);
        }
        for (; t < tokens; ++t) {
          decoded_tile<1>(w, panel, weights, chunk, io, begin + t, inner[t], totals[t]);
        }
      }
      copy_cut_panel(w, panel, io, begin, tokens, totals[0]);
    }
  }
}

}  // namespace
