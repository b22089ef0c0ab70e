#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "backend/cpu/screened_head.h"
#include "base/function_ref.h"
#include "tensor/arena.h"

namespace bitcpm {

// The head in `fast` numerics: weights rounded to 8 bits, one bf16 scale per 64 in-features, kept
// as two nibble planes (kernels/quantized.h). The upper plane with its bounds is a screen: a logit
// computed from it alone is off by at most the norm of what the lower plane holds times the norm of
// the activations, group by group (Cauchy and Schwarz).
class HeadWeight final : public ScreenedHead {
 public:
  // `embeds`: keeps four more bits of every weight, so that copy_row() is good enough for
  // embeddings: where the matrix is bf16, rounding what it returns to bf16 gives back every weight
  // above an eighth of its group's largest. Errors: kExhausted.
  static Result<std::unique_ptr<PreparedWeight>> quantize(const QuantizedMatrix& matrix,
                                                          bool embeds, Arena& arena,
                                                          ThreadPool& pool);

  // The same; calls saw(row, values, rounded) with every row as it is and as multiply() has it,
  // from any thread.
  using SawRow = FunctionRef<void(std::int64_t row, const float* values, const float* rounded)>;
  static Result<std::unique_ptr<PreparedWeight>> quantize(const QuantizedMatrix& matrix,
                                                          bool embeds, Arena& arena,
                                                          ThreadPool& pool, const SawRow& saw);

  // What files call the layout, without and with what embeddings need (docs/formats/packed.md): a
  // change of bytes is a new name.
  static constexpr std::string_view kLayout = "head-nibbles";
  static constexpr std::string_view kTiedLayout = "head-nibbles-tied";

  // WeightImages, for these two layouts; it has checked the sections that adopt() gets.
  static std::vector<SectionSize> sections_of(const ImageInfo& info);
  static std::unique_ptr<PreparedWeight> adopt(const ImageInfo& info, std::vector<Buffer> sections);
  WeightImage image() const override;

  static std::size_t groups_of(std::int64_t cols) {
    return static_cast<std::size_t>(cols / group_of(cols));
  }

  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  std::size_t bytes() const override {
    return high_.size() + low_.size() + fine_.size() + scales_.size() + norms_.size();
  }
  std::size_t product_bytes() const override { return high_.size() + low_.size() + scales_.size(); }
  std::size_t panels() const override;
  std::int64_t panel_rows() const override { return kernels::kFieldRows; }
  std::span<const std::byte> stream() const override { return high_.bytes(); }
  InputForm input_form() const override { return InputForm::kCodes; }
  std::int64_t group() const override { return group_; }
  void multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                const CpuLinearInput& x, std::int64_t token, TensorView out) const override;
  void copy_row(std::int64_t row, float scale, float* out) const override;

  // multiply() from the upper nibbles alone. Norms: those of each group's activations.
  std::size_t norm_count() const override { return groups_of(cols_); }
  void find_norms(const CpuLinearInput& x, std::int64_t t, float* norms) const override;
  void screen(const kernels::KernelTable& table, std::size_t first, std::size_t last,
              const CpuLinearInput& x, TensorView out) const override;
  void bounds(const kernels::KernelTable& table, std::size_t panel, const float* norms,
              float* out) const override;

 private:
  struct Sizes {
    std::size_t plane, per_group, fine;
  };
  static std::int64_t group_of(std::int64_t cols) { return cols % 64 == 0 ? 64 : 32; }
  static Sizes sizes_of(std::int64_t rows, std::int64_t cols);

  HeadWeight() = default;
  Status allocate(const QuantizedMatrix& matrix, bool embeds, Arena& arena);
  void quantize_row(std::int64_t row, const float* values, float* rounded);
  void store(std::int64_t row, std::size_t k, int byte);
  kernels::Int8Fields fields() const;

  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  std::int64_t group_ = 0;
  Buffer high_, low_;  // [panels][cols / 4][2][64]
  Buffer fine_;        // [rows, cols / 2] four bits below the eight, or empty
  Buffer scales_;      // [panels][cols / group][64] bf16
  Buffer norms_;       // likewise: of what the lower nibbles hold, times the scale, rounded up
};

}  // namespace bitcpm
