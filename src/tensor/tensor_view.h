#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace bitcpm {

// Rows of f32 activations in device memory: [rows, cols], a row's values contiguous, rows `stride`
// values apart. Does not own; trivially copyable. The element type joins when a second one exists.
struct TensorView {
  float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  // >= cols

  static TensorView dense(float* data, std::int64_t rows, std::int64_t cols) {
    return {data, rows, cols, cols};
  }

  float* row(std::int64_t index) const { return data + index * stride; }

  // Rows [first, first + count).
  TensorView row_range(std::int64_t first, std::int64_t count) const {
    BITCPM_CHECK(first >= 0 && count >= 0 && first + count <= rows);
    return {row(first), count, cols, stride};
  }
  TensorView first_rows(std::int64_t count) const { return row_range(0, count); }
};

// [rows, cols], one row right after the other.
inline std::vector<float> dense_values(const TensorView& view) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(view.rows * view.cols));
  for (std::int64_t r = 0; r < view.rows; ++r) {
    values.insert(values.end(), view.row(r), view.row(r) + view.cols);
  }
  return values;
}

}  // namespace bitcpm
