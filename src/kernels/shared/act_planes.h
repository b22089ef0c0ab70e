#pragma once

#include <stddef.h>
#include <stdint.h>

// The two planes of bytes of quantised activations, written once over the dot16.h of the including
// level.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::kInt16Base;
using bitcpm::kernels::kInt16Top;

// Rounds to an integer, ties to even. |v| < 2^22.
inline F16x rounded(F16x v) {
  const F16x magic = set1(12582912.0f);  // 1.5 * 2^23
  return sub(add(v, magic), magic);
}
inline F16x clamped(F16x v, float top) { return min(max(v, set1(-top)), set1(top)); }

// 32 integers within 254 of 0: the nearest bytes within 127 of 0, and what they leave. Returns
// values whose sum is that of the integers. A level with a better way has an overload that is no
// template.
template <class Sixteen>
inline F16x split_bytes(Sixteen a, Sixteen b, int8_t* near, int8_t* rest) {
  const Sixteen within_a = clamped(a, 127);
  const Sixteen within_b = clamped(b, 127);
  store_rounded(near, within_a);
  store_rounded(near + 16, within_b);
  store_rounded(rest, sub(a, within_a));
  store_rounded(rest + 16, sub(b, within_b));
  return add(a, b);
}

inline F16x split_words(F16x v, int8_t* first, int8_t* second) {
  const F16x high = store_rounded(first, mul(v, set1(1.0f / kInt16Base)));
  store_rounded(second, fma(high, set1(-kInt16Base), v));
  return v;
}

// 32 values in two planes, from x times what turns it into values. Returns sixteen sums that add up
// to theirs. All but the first rounding is exact arithmetic on integers.
template <ActForm Form>
inline F16x put_planes(F16x a, F16x b, int8_t* first, int8_t* second) {
  if (Form == ActForm::kInt8) {
    return split_bytes(rounded(clamped(a, 254)), rounded(clamped(b, 254)), first, second);
  }
  const F16x low = split_words(rounded(clamped(a, kInt16Top)), first, second);
  const F16x high = split_words(rounded(clamped(b, kInt16Top)), first + 16, second + 16);
  return add(low, high);
}

}  // namespace
