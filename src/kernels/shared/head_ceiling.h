#pragma once

#include "kernels/shared/logits.h"

// What a screen of a head's logits is bounded by, written once over the vec16.h of the including
// level.
namespace {

using bitcpm::kernels::HeadCeiling;
using bitcpm::kernels::kFieldRows;

inline float head_ceiling(const HeadCeiling& of) {
  constexpr size_t kParts = kFieldRows / 16;
  F16x most = set1(kNoLogit);
  F16x bounds[kParts];
  for (F16x& part : bounds) part = set1(0);
  for (size_t term = 0; term < of.terms; ++term) {
    F16x sums[kParts];
    for (F16x& part : sums) part = set1(0);
    for (size_t g = 0; g < of.groups; ++g) {
      const F16x norm = set1(of.norms[term * of.groups + g]);
#pragma GCC unroll 4
      for (size_t i = 0; i < kParts; ++i) {
        sums[i] = fma(load_bf16(of.scales + g * kFieldRows + 16 * i), norm, sums[i]);
      }
    }
    for (size_t i = 0; i < kParts; ++i) {
      bounds[i] = fma(load(of.factors[term] + 16 * i), sums[i], bounds[i]);
    }
  }
  uint32_t known = 0xffff;
  for (size_t i = 0; i < kParts && 16 * i < of.rows; ++i) {
    const F16x sum = add(load_row(of.estimates, 16 * i, of.rows, kNoLogit), bounds[i]);
    known &= lanes_at_least(sum, set1(kNoLogit));
    most = max(sum, most);
  }
  return known == 0xffff ? reduce_max(most) : -kNoLogit;
}

}  // namespace
