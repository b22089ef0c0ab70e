#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backend/cpu/cpu_weight.h"
#include "tensor/arena.h"

namespace bitcpm {

// A ternary matrix in panels of 64 rows (kernels/quantized.h).
class FieldWeight final : public CpuWeight {
 public:
  // What files call the layout (docs/formats/packed.md): a change of bytes is a new name.
  static constexpr std::string_view kTernaryLayout = "ternary-fields";

  // The ternary codes and scales, lossless. Errors: kExhausted (no memory).
  static Result<std::unique_ptr<PreparedWeight>> pack(const QuantizedMatrix& matrix, Arena& arena,
                                                      ThreadPool& pool);

  // WeightImages, for this layout; it has checked the sections that adopt() gets.
  static std::vector<SectionSize> sections_of(const ImageInfo& info);
  static std::unique_ptr<PreparedWeight> adopt(const ImageInfo& info, std::vector<Buffer> sections);
  WeightImage image() const override;

  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  std::size_t bytes() const override { return lines_.size() + scales_.size(); }
  std::size_t panels() const override;
  std::int64_t panel_rows() const override { return kernels::kFieldRows; }
  std::span<const std::byte> stream() const override { return lines_.bytes(); }
  InputForm input_form() const override { return InputForm::kCodes; }
  std::int64_t group() const override { return group_; }
  void multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                const CpuLinearInput& x, std::int64_t token, TensorView out) const override;

  // Embeddings are never ternary: a broken promise.
  void copy_row(std::int64_t row, float scale, float* out) const override;

 private:
  FieldWeight() = default;

  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  std::int64_t group_ = 0;
  Buffer lines_;
  Buffer scales_;
};

}  // namespace bitcpm
