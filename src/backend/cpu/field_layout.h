#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantized.h"

namespace bitcpm {

// Rows of one field of a panel.
inline constexpr std::size_t kFieldLanes = kernels::kFieldRows / kernels::kFields;

// Panels that hold `rows` rows, the last filled up.
inline std::size_t field_panels(std::int64_t rows) {
  return (static_cast<std::size_t>(rows) + kernels::kFieldRows - 1) / kernels::kFieldRows;
}

}  // namespace bitcpm
