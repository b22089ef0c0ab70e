#pragma once

#include <cstddef>
#include <memory>

#include "backend/cpu/cpu_weight.h"
#include "tensor/arena.h"

namespace bitcpm {

// A dense weight matrix in panels of 16 rows (kernels/table.h).
class PanelWeight final : public CpuWeight {
 public:
  // Requires a dense form. With `bf16_input`, weights of bf16 meet activations of bf16, others of
  // f32. Errors: kExhausted (no memory).
  static Result<std::unique_ptr<PreparedWeight>> pack(const QuantizedMatrix& matrix,
                                                      bool bf16_input, Arena& arena,
                                                      ThreadPool& pool);

  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  std::size_t bytes() const override { return values_.size(); }
  std::size_t panels() const override;
  std::int64_t panel_rows() const override { return kernels::kPanelRows; }
  std::span<const std::byte> stream() const override { return values_.bytes(); }
  InputForm input_form() const override { return input_; }
  void multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                const CpuLinearInput& x, std::int64_t token, TensorView out) const override;

  void copy_row(std::int64_t row, float scale, float* out) const override;

 private:
  PanelWeight() = default;

  WeightForm form_ = WeightForm::kBf16;
  InputForm input_ = InputForm::kFloats;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  Buffer values_;
};

}  // namespace bitcpm
