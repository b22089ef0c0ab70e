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

}  // namespace bitcpm::kernels
