#pragma once

#include <stddef.h>
#include <stdint.h>

// Operands of the scans of a row of logits. Plain data, for the same reason as in table.h.

namespace bitcpm::kernels {

constexpr size_t kLogitsBlock = 1024;  // logits whose weights are summed in f32; blocks in f64
constexpr size_t kLogitsProbes = 4;

// How many of a row's logits are at least `threshold`, and the sum of their weights.
struct LogitsProbe {
  float threshold;
  size_t count;
  double mass;
};

// The largest of estimates[r] + sum over the terms of factors[term][r] * sum over the groups of
// scales[g][r] * norms[term][g], r < rows; infinity if one of them is no number.
struct HeadCeiling {
  const uint16_t* scales;  // [groups][64] bf16, of one panel of a head
  size_t groups;
  const float* norms;       // [terms][groups]
  size_t terms;             // one or two
  const float* factors[2];  // [64] each
  const float* estimates;   // [rows]
  size_t rows;              // of the panel: 64, or fewer in the last
};

}  // namespace bitcpm::kernels
