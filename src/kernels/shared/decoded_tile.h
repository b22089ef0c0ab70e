#pragma once

#include "kernels/shared/decoded_weights.h"
#include "kernels/shared/field_tile.h"

// The products of field_tile.h for many tokens: decoding, which competes with the products for the
// same ports, is done once for all of them. The sums are the same exact integers, folded in the
// same order. The fields of ternary weights enter as their code instead of 4^f times that, which
// shows in no bit: the scales of activations are far from the ends of the floats' range
// (quantize.h), and so are those of a model's weights. Written once over the dot16.h and
// decoded_bytes.h of the including level.
namespace {

// What a tile of tokens reads of its activations.
struct TileActs {
  const int8_t* codes;             // the first plane; the second follows
  const uint8_t* lines = nullptr;  // of kInt8
  const float* scales;
  const int32_t* minus_sums;
  size_t pitch, names, groups;  // from one token to the next

  TileActs(const QuantizedIo& io, size_t cols, const Chunk& chunk, size_t token)
      : pitch(io.x.pitch), names(cols / kQuadEvery), groups(cols / chunk.size) {
    codes = io.x.codes + token * pitch + 2 * chunk.begin;
    if (io.x.form == ActForm::kInt8) lines = io.x.lines + token * names + chunk.begin / kQuadEvery;
    scales = io.x.scales + token * groups + chunk.index();
    minus_sums = io.x.minus_sums + token * groups + chunk.index();
  }
};

// body<Line>() for the lines that Inputs are of.
template <size_t Line = 0, class Body>
[[gnu::always_inline]] inline void each_line(const Body& body) {
  body.template operator()<Line>();
  if constexpr (Line + 1 < Inputs::kLines) each_line<Line + 1>(body);
}

// sum += the products with one plane of T tokens, as many fields at a time as registers hold.
template <size_t T, class Element>
inline void add_decoded(const DecodedWeights<Element>& weights, size_t size, const int8_t* plane,
                        size_t pitch, typename Element::Sums (&sum)[kFields][T]) {
  constexpr size_t kF = Element::kFieldsAtOnce;
  for (size_t f0 = 0; f0 < kFields; f0 += kF) {
    typename Element::Sums some[kF][T];  // copies, or the loop has them in memory
    __builtin_memcpy(some, &sum[f0], sizeof(some));
    for (size_t i = 0; i < size / 4; i += Inputs::kLines) {
      Inputs x[T];
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) x[t].load(plane + t * pitch + 4 * i);
      each_line([&]<size_t Line>() __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (size_t f = 0; f < kF; ++f) {
          const auto u = weights.lines[i + Line][f0 + f].operand();
#pragma GCC unroll 8
          for (size_t t = 0; t < T; ++t) some[f][t].add(u, x[t].template line<Line>());
        }
      });
    }
    __builtin_memcpy(&sum[f0], some, sizeof(some));
  }
}

// The same with the named quads of the second plane of kInt8.
template <size_t T, class Element>
inline void add_decoded_quads(const DecodedWeights<Element>& weights, size_t size,
                              const TileActs& x, typename Element::Sums (&sum)[kFields][T]) {
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
    typename Element::Sums some[kFields];  // copies, as above
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) some[f] = sum[f][t];
    for (size_t i = 0; i < size / kQuadEvery; ++i) {
      const size_t line = x.lines[t * x.names + i];
      const Bytes quad = load_quad(x.codes + t * x.pitch + size + 4 * line);
#pragma GCC unroll 4
      for (size_t f = 0; f < kFields; ++f) some[f].add(weights.lines[line][f].operand(), quad);
    }
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) sum[f][t] = some[f];
  }
}

// T tokens from `token` on by one chunk; inner and totals are theirs.
template <class Form, ActForm Act, size_t T, class Element>
inline void decoded_tile(const typename Form::Weights& w, size_t panel,
                         const DecodedWeights<Element>& weights, const Chunk& chunk,
                         const QuantizedIo& io, size_t token, float* inner, float* totals) {
  const TileActs x(io, w.cols, chunk, token);
  typename Element::Sums sum[kFields][T] = {};
  I16x before[kFields][T];  // what the sums of the last plane begin at
  if (Act == ActForm::kInt16) add_decoded(weights, chunk.size, x.codes, x.pitch, sum);
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
    const I16x offset = Form::offset(0, load_int(x.minus_sums + t * x.groups));
#pragma GCC unroll 4
    for (size_t f = 0; f < kFields; ++f) {
      before[f][t] = offset;
      if (Act == ActForm::kInt16) before[f][t] = add(offset, times_base(sum[f][t].total(I16x{})));
      sum[f][t].start(before[f][t]);
    }
  }
  if (Act == ActForm::kInt8) add_decoded_quads(weights, chunk.size, x, sum);
  add_decoded(weights, chunk.size, x.codes + (Act == ActForm::kInt16 ? chunk.size : 0), x.pitch,
              sum);
  fold(T, chunk, x.scales, x.groups, fold_rows(w, panel, chunk, io, token, inner, totals),
       [&](size_t t, size_t f) { return sum[f][t].total(before[f][t]); });
}

}  // namespace
