#pragma once

#include "kernels/shared/act_range.h"

// Quantisation of activations, written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::kInt16Base;
using bitcpm::kernels::kInt16Top;
using bitcpm::kernels::QuantizedRows;

// Rounds to an integer, ties to even. |v| < 2^22.
inline F16x rounded(F16x v) {
  const F16x magic = set1(12582912.0f);  // 1.5 * 2^23
  return sub(add(v, magic), magic);
}
inline F16x clamped(F16x v, float top) { return min(max(v, set1(-top)), set1(top)); }

// Sixteen values in two planes, from x times what turns it into values; returns them. All but the
// first rounding is exact arithmetic on integers.
template <ActForm Form>
inline F16x put_planes(F16x v, int8_t* first, int8_t* second) {
  if (Form == ActForm::kInt8) {
    const F16x value = rounded(clamped(v, 254));
    const F16x near = clamped(value, 127);
    store_rounded(first, near);
    store_rounded(second, sub(value, near));
    return value;
  }
  const F16x value = rounded(clamped(v, kInt16Top));
  const F16x high = store_rounded(first, mul(value, set1(1.0f / kInt16Base)));
  store_rounded(second, fma(high, set1(-kInt16Base), value));
  return value;
}

// One group: scale = limit / top and value = round(x * (top / limit)), top being 127 or 32,384.
// Groups that are next to nothing are zero; one that holds an infinity, or values that no model
// has, gets the scale NaN, so that nonsense stays visible. Scales are thereby so far from the ends
// of the floats' range that a power of two shows in no bit of what follows.
template <ActForm Form, size_t V>
inline void quantize_group(const float* x, int8_t* codes, float* scale, int32_t* minus_sum,
                           uint8_t* lines) {
  constexpr float kSmallest = 1e-20f;
  constexpr float kLargest = 1e30f;
  constexpr float kTop = Form == ActForm::kInt8 ? 127.0f : static_cast<float>(kInt16Top);
  ActGroup<V> group;
#pragma GCC unroll 8
  for (size_t v = 0; v < V; ++v) group.x[v] = load(x + 16 * v);
  const QuadMaxima quads = quad_maxima(group);
  const float largest = quads.largest();
  const bool sane = largest <= kLargest;
  float limit = largest;
  if (Form == ActForm::kInt8) {
    if (sane) limit = range_sparing(quads, largest, ActGroup<V>::kQuads);
    name_quads<V>(quads, limit, lines);
  }
  const bool some = sane && limit >= kSmallest;
  const float inverse = some ? kTop / limit : 0.0f;
  F16x sum = set1(0);
#pragma GCC unroll 8
  for (size_t v = 0; v < V; ++v) {
    const F16x scaled = some ? mul(group.x[v], set1(inverse)) : set1(0);
    int8_t* first = codes + 16 * v;
    sum = add(sum, put_planes<Form>(scaled, first, first + ActGroup<V>::kSize));
  }
  *scale = some ? limit / kTop : limit < kSmallest ? 0.0f : __builtin_nanf("");
  *minus_sum = -static_cast<int32_t>(reduce_add(sum));  // integers below 2^24: exact
}

template <ActForm Form, size_t V>
inline void quantize_groups(const float* x, size_t n, const QuantizedRows& out) {
  constexpr size_t kSize = ActGroup<V>::kSize;
  for (size_t g = 0; g < n / kSize; ++g) {
    uint8_t* lines = Form == ActForm::kInt8 ? out.lines + g * ActGroup<V>::kQuads : nullptr;
    quantize_group<Form, V>(x + g * kSize, out.codes + g * 2 * kSize, out.scales + g,
                            out.minus_sums + g, lines);
  }
}

template <size_t V>
inline void quantize_groups(const float* x, size_t n, const QuantizedRows& out) {
  if (out.form == ActForm::kInt8) return quantize_groups<ActForm::kInt8, V>(x, n, out);
  quantize_groups<ActForm::kInt16, V>(x, n, out);
}

// Part of one row, whole groups.
inline void quantize(const float* x, size_t n, const QuantizedRows& out) {
  switch (out.group) {
    case 128:
      return quantize_groups<8>(x, n, out);
    case 64:
      return quantize_groups<4>(x, n, out);
    default:
      return quantize_groups<2>(x, n, out);
  }
}

}  // namespace
