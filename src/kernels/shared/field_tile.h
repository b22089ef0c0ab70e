#pragma once

#include "kernels/shared/field_forms.h"

// Products of int8 activations with field-packed weights, written once over the dot16.h of the
// including level.
//
// For one row and token, with a the activation scale of 32 in-features and w the weight scale:
//   inner = fma(float(sum of code products), a, inner)   over the 32s of a weight group
//   total = fma(w, inner, total)                         over the weight groups
// k ascending. The integer part is exact, so neither the tile nor the level shows in a bit. The
// fields of ternary weights enter as 4^f times their code, which w / 4^f undoes exactly.
namespace {

using bitcpm::kernels::Extra;
using bitcpm::kernels::kActGroup;
using bitcpm::kernels::kFields;
using bitcpm::kernels::QuantizedIo;

// One panel by T tokens, F fields at a time. Wide: the activations have extras.
template <class Form, size_t F, size_t T, bool Wide>
void field_tile(const typename Form::Weights& w, size_t panel, const QuantizedIo& io,
                size_t token) {
  const size_t cols = w.cols;
  const size_t groups = cols / w.group;
  const size_t act_groups = cols / kActGroup;
  const uint16_t* panel_scales = w.scales + panel * groups * kFieldRows;
  const int8_t* codes = io.x.codes + token * cols;
  const float* act_scales = io.x.scales + token * act_groups;
  const int32_t* minus_sums = io.x.minus_sums + token * act_groups;
  alignas(64) float totals[T][kFieldRows] = {};
#pragma GCC unroll 4
  for (size_t f0 = 0; f0 < kFields; f0 += F) {  // unrolled: fields are constants to a form
    for (size_t group = 0; group < groups; ++group) {
      F16x inner[F][T];
#pragma GCC unroll 4
      for (size_t f = 0; f < F; ++f) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) inner[f][t] = set1(0);
      }
      const size_t end = (group + 1) * w.group;
      for (size_t k0 = group * w.group; k0 < end; k0 += kActGroup) {
        const size_t act_group = k0 / kActGroup;
        I16x sum[F][T];
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const I16x minus_sum = load_int(minus_sums + t * act_groups + act_group);
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) sum[f][t] = Form::offset(f0 + f, minus_sum);
        }
        typename Form::Lines lines(w, panel, k0);
#pragma GCC unroll 8
        for (size_t k = 0; k < kActGroup; k += 4, lines.next()) {
          Bytes quad[T];
#pragma GCC unroll 8
          for (size_t t = 0; t < T; ++t) quad[t] = load_quad(codes + t * cols + k0 + k);
          if (T == 1) lines.prefetch_ahead();
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) {
            const Bytes u = Form::field(lines, f0 + f);
#pragma GCC unroll 8
            for (size_t t = 0; t < T; ++t) sum[f][t] = Form::dot(sum[f][t], u, quad[t]);
          }
        }
        if (Wide) {
#pragma GCC unroll 8
          for (size_t t = 0; t < T; ++t) {
            const Extra extra = io.x.extras[(token + t) * act_groups + act_group];
            const Bytes quad = load_quad(&extra.quad);
            const typename Form::Lines its_lines(w, panel, k0 + 4 * extra.line);
#pragma GCC unroll 4
            for (size_t f = 0; f < F; ++f) {
              sum[f][t] = Form::dot(sum[f][t], Form::field(its_lines, f0 + f), quad);
            }
          }
        }
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const F16x a = set1(act_scales[t * act_groups + act_group]);
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) inner[f][t] = fma(to_float(sum[f][t]), a, inner[f][t]);
        }
      }
#pragma GCC unroll 4
      for (size_t f = 0; f < F; ++f) {
        const F16x scale = mul(load_bf16(panel_scales + group * kFieldRows + 16 * (f0 + f)),
                               set1(Form::unscale(f0 + f)));
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          float* total = totals[t] + 16 * (f0 + f);
          store(total, fma(scale, inner[f][t], load(total)));
        }
      }
    }
  }
  const size_t row = panel * kFieldRows;
  const size_t rows = w.rows - row < kFieldRows ? w.rows - row : kFieldRows;
  for (size_t t = 0; t < T; ++t) {
    __builtin_memcpy(io.y + (token + t) * io.ldy + row, totals[t], rows * sizeof(float));
  }
}

}  // namespace
