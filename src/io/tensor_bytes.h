#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace bitcpm {

// product(shape) * element_bytes, or nothing if a dimension is negative or the product overflows.
inline std::optional<std::size_t> tensor_bytes(std::span<const std::int64_t> shape,
                                               std::size_t element_bytes) {
  std::size_t bytes = element_bytes;
  for (const std::int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(dim), &bytes)) {
      return std::nullopt;
    }
  }
  return bytes;
}

}  // namespace bitcpm
