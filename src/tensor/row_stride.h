#pragma once

#include <cstdint>

namespace bitcpm {

// Floats from row to row of activations: whole lines of a cache and an unused one between rows. A
// power of two apart, those of a tile of tokens would meet in one set of a cache.
constexpr std::int64_t row_stride(std::int64_t cols) {
  constexpr std::int64_t kLine = 16;
  return (cols + kLine - 1) / kLine * kLine + kLine;
}

}  // namespace bitcpm
