#pragma once

#include <cstddef>
#include <memory>

#include "backend/cpu/cpu_weight.h"
#include "tensor/arena.h"

namespace bitcpm {

// A dense weight matrix in panels of 16 rows, for f32 activations (kernels/table.h).
class PanelWeight final : public CpuWeight {
 public:
  // Requires a dense form. Errors: kExhausted (no memory).
  static Result<std::unique_ptr<PreparedWeight>> pack(QuantizedMatrix matrix, Arena& arena,
                                                      ThreadPool& pool);

  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  std::size_t bytes() const override { return values_.size(); }
  std::size_t panels() const override;
  std::int64_t panel_rows() const override { return kernels::kPanelRows; }
  bool reads_codes() const override { return false; }
  void multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                const CpuLinearInput& x, std::int64_t token, TensorView out) const override;

  void copy_row(std::int64_t row, float scale, float* out) const override;

 private:
  PanelWeight() = default;

  WeightForm form_ = WeightForm::kBf16;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  Buffer values_;
};

}  // namespace bitcpm
