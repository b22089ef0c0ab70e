#pragma once

// Bounds by norms of groups, written once over the vec16.h of the including level.
namespace {

inline void scaled_norms(const uint16_t* norms, size_t groups, const float* x, float* out) {
  for (size_t r = 0; r < bitcpm::kernels::kFieldRows; r += 16) {
    F16x sum = set1(0);
    for (size_t g = 0; g < groups; ++g) {
      sum = fma(load_bf16(norms + g * bitcpm::kernels::kFieldRows + r), set1(x[g]), sum);
    }
    store(out + r, sum);
  }
}

}  // namespace
