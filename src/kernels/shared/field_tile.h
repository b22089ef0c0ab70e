#pragma once

#include "kernels/shared/field_forms.h"

// Products of quantised activations with field-packed weights, written once over the dot16.h of the
// including level.
//
// For one row and token, with a the activation scale of a group and w the weight scale:
//   inner = fma(float(sum of products of values and weights), a, inner)   over a weight group's
//                                                                         activation groups
//   total = fma(w, inner, total)                                          over the weight groups
// k ascending. The integer part is exact (below 2^24 in units of 4^f, so its float is too), so
// neither the tile nor the level shows in a bit. The fields of ternary weights enter as 4^f times
// their code, which w / 4^f undoes exactly.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::kFields;
using bitcpm::kernels::kInt16Base;
using bitcpm::kernels::kQuadEvery;
using bitcpm::kernels::QuantizedIo;

static_assert(kInt16Base == (1 << 8) - (1 << 1), "times_base");
inline I16x times_base(I16x v) { return subtract(shift_left<8>(v), shift_left<1>(v)); }

// sum += the products of one panel's in-features [k0, k0 + group), fields f0 .. f0 + F - 1, with
// one plane of T tokens, `pitch` bytes apart.
template <class Form, size_t F, size_t T>
inline void add_plane(const typename Form::Weights& w, size_t panel, size_t k0, size_t f0,
                      const int8_t* plane, size_t pitch, size_t group, I16x (*sum)[T]) {
  typename Form::Lines lines(w, panel, k0);
  for (size_t begin = 0; begin < group; begin += kQuadEvery) {
#pragma GCC unroll 8
    for (size_t k = begin; k < begin + kQuadEvery; k += 4, lines.next()) {
      Bytes quad[T];
#pragma GCC unroll 8
      for (size_t t = 0; t < T; ++t) quad[t] = load_quad(plane + t * pitch + k);
      if (f0 == 0) lines.ask_ahead();  // later fields find their lines in a cache
#pragma GCC unroll 4
      for (size_t f = 0; f < F; ++f) {
        const Bytes u = Form::field(lines, f0 + f);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) sum[f][t] = Form::dot(sum[f][t], u, quad[t]);
      }
    }
  }
}

// The same with the named quads of the second plane of kInt8; lines: T tokens' names, `names`
// apart.
template <class Form, size_t F, size_t T>
inline void add_quads(const typename Form::Weights& w, size_t panel, size_t k0, size_t f0,
                      const int8_t* plane, size_t pitch, const uint8_t* lines, size_t names,
                      size_t group, I16x (*sum)[T]) {
  for (size_t i = 0; i < group / kQuadEvery; ++i) {
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const size_t at = 4 * size_t{lines[t * names + i]};
      const Bytes quad = load_quad(plane + t * pitch + at);
      const typename Form::Lines its_lines(w, panel, k0 + at);
#pragma GCC unroll 4
      for (size_t f = 0; f < F; ++f) {
        sum[f][t] = Form::dot(sum[f][t], Form::field(its_lines, f0 + f), quad);
      }
    }
  }
}

// One panel by T tokens, F fields at a time.
template <class Form, size_t F, size_t T, ActForm Act>
void field_tile(const typename Form::Weights& w, size_t panel, const QuantizedIo& io,
                size_t token) {
  const size_t size = io.x.group;
  const size_t groups = w.cols / w.group;
  const size_t act_groups = w.cols / size;
  const size_t names = w.cols / kQuadEvery;
  const uint16_t* panel_scales = w.scales + panel * groups * kFieldRows;
  const size_t pitch = io.x.pitch;
  const int8_t* codes = io.x.codes + token * pitch;
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
      for (size_t k0 = group * w.group; k0 < end; k0 += size) {
        const size_t act_group = k0 / size;
        const int8_t* first = codes + 2 * k0;
        const int8_t* second = first + size;
        I16x sum[F][T];
        if constexpr (Act == ActForm::kInt16) {
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) {
#pragma GCC unroll 8
            for (size_t t = 0; t < T; ++t) sum[f][t] = I16x{};
          }
          add_plane<Form, F, T>(w, panel, k0, f0, first, pitch, size, sum);
        }
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const I16x minus_sum = load_int(minus_sums + t * act_groups + act_group);
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) {
            const I16x offset = Form::offset(f0 + f, minus_sum);
            sum[f][t] = Act == ActForm::kInt16 ? add(times_base(sum[f][t]), offset) : offset;
          }
        }
        const int8_t* last = Act == ActForm::kInt16 ? second : first;
        add_plane<Form, F, T>(w, panel, k0, f0, last, pitch, size, sum);
        if constexpr (Act == ActForm::kInt8) {
          const uint8_t* lines = io.x.lines + token * names + k0 / kQuadEvery;
          add_quads<Form, F, T>(w, panel, k0, f0, second, pitch, lines, names, size, sum);
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
