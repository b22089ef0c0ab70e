#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantized.h"

namespace bitcpm {

// Rows of one field of a panel.
inline constexpr std::size_t kFieldLanes = kernels::kFieldRows / kernels::kFields;

// Where group g of a row is among values [panels][groups][64].
inline std::size_t group_place(std::size_t row, std::size_t groups, std::size_t g) {
  return (row / kernels::kFieldRows * groups + g) * kernels::kFieldRows + row % kernels::kFieldRows;
}

// Panels that hold `rows` rows, the last filled up.
inline std::size_t field_panels(std::int64_t rows) {
  return (static_cast<std::size_t>(rows) + kernels::kFieldRows - 1) / kernels::kFieldRows;
}

}  // namespace bitcpm
