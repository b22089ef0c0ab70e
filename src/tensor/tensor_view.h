#pragma once

#include <cstddef>
#include <cstdint>

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

  TensorView first_rows(std::int64_t count) const {
    BITCPM_CHECK(count >= 0 && count <= rows);
    return {data, count, cols, stride};
  }
};

}  // namespace bitcpm
