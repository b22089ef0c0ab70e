#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/backend.h"
#include "kernels/table.h"

namespace bitcpm {

// Rows of activations as f32 and, for `fast` numerics, as int8 codes as well.
class CpuLinearInput final : public LinearInput {
 public:
  enum class Form { kFloat, kInt8, kWideInt8 };  // the last with room for outliers

  // Errors: kExhausted.
  static Result<std::unique_ptr<LinearInput>> allocate(std::int64_t max_rows, std::int64_t cols,
                                                       Form form);

  float* row(std::int64_t t) { return values_.as<float>() + t * cols_; }
  const float* values() const { return values_.as<float>(); }
  std::int64_t cols() const { return cols_; }

  // Whoever wrote elements [begin, end) of a row says so; whole groups of 32. Disjoint ranges from
  // any thread.
  void finish(const kernels::KernelTable& table, std::int64_t t, std::int64_t begin,
              std::int64_t end);
  void finish_row(const kernels::KernelTable& table, std::int64_t t) { finish(table, t, 0, cols_); }

  // The codes, of every form but kFloat.
  const kernels::QuantizedRows& quantized() const { return quantized_; }

 private:
  CpuLinearInput() = default;

  std::int64_t cols_ = 0;
  Buffer values_;
  Buffer codes_, scales_, sums_, extras_;
  kernels::QuantizedRows quantized_{};  // views of the four; codes null in kFloat
};

}  // namespace bitcpm
