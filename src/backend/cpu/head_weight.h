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

// What a HeadWeight keeps of the eight bits that weights are rounded to.
enum class HeadBits : std::uint8_t {
  kUpper,  // six: what screen() reads
  kAll,
  // and four below the eight, so that copy_row() is good enough for embeddings: where the matrix is
  // bf16, rounding what it returns to bf16 gives back every weight above an eighth of its group's
  // largest
  kEmbedding,
};

// The head in `fast` numerics: weights rounded to 8 bits, one bf16 scale per 64 in-features, kept
// as planes of the upper six bits and one of the lower two (kernels/quantized.h). The upper ones
// are a screen: a logit computed from them alone is off by at most the norm of what the lower bits
// hold times the norm of the activations, group by group (Cauchy and Schwarz).
class HeadWeight final : public ScreenedHead {
 public:
  // Errors: kExhausted.
  static Result<std::unique_ptr<PreparedWeight>> quantize(const QuantizedMatrix& matrix,
                                                          HeadBits bits, Arena& arena,
                                                          ThreadPool& pool);

  // The same; calls saw() with every row, from any thread.
  struct RoundedRow {
    std::int64_t row;
    const float* values;     // [cols] as they are
    const float* estimates;  // [cols] as screen() has them
    const float* steps;      // [groups] how far apart 8-bit values are
  };
  using SawRow = FunctionRef<void(const RoundedRow&)>;
  static Result<std::unique_ptr<HeadWeight>> quantize(const QuantizedMatrix& matrix, HeadBits bits,
                                                      Arena& arena, ThreadPool& pool,
                                                      const SawRow& saw);

  // What files call the layout, without and with what embeddings need (docs/formats/packed.md): a
  // change of bytes is a new name.
  static constexpr std::string_view kLayout = "head-6-2";
  static constexpr std::string_view kTiedLayout = "head-6-2-tied";

  // WeightImages, for these two layouts; it has checked the sections that adopt() gets.
  static std::vector<SectionSize> sections_of(const ImageInfo& info);
  static std::unique_ptr<PreparedWeight> adopt(const ImageInfo& info, std::vector<Buffer> sections);
  WeightImage image() const override;

  static std::size_t groups_of(std::int64_t cols) {
    return static_cast<std::size_t>(cols / group_of(cols));
  }

  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  std::size_t bytes() const override { return product_bytes() + fine_.size() + rests_.size(); }
  std::size_t product_bytes() const override {
    return high01_.size() + high2_.size() + low_.size() + scales_.size();
  }
  std::size_t top_logits_bytes() const override {
    return high01_.size() + high2_.size() + scales_.size() + rests_.size();
  }
  std::size_t panels() const override;
  std::int64_t panel_rows() const override { return kernels::kFieldRows; }
  std::span<const std::byte> stream() const override { return high01_.bytes(); }
  InputForm input_form() const override { return InputForm::kCodes; }
  std::int64_t group() const override { return group_; }
  void multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                const CpuLinearInput& x, std::int64_t token, TensorView out) const override;
  void copy_row(std::int64_t row, float scale, float* out) const override;

  // As long as the product takes as long as reading it.
  std::int64_t most_screened_rows(const kernels::KernelTable& table) const override {
    return static_cast<std::int64_t>(table.few_tokens);
  }
  // multiply() from the upper bits alone. Norms: those of each group's activations.
  std::size_t norm_count() const override { return groups_of(cols_); }
  void find_norms(const CpuLinearInput& x, std::int64_t t, float* norms) const override;
  void screen(const kernels::KernelTable& table, std::size_t first, std::size_t last,
              const CpuLinearInput& x, TensorView out) const override;
  float ceiling(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                std::span<const float> estimates) const override;

  // [groups][64] bf16, of one panel.
  const std::uint16_t* panel_scales(std::size_t panel) const {
    return scales_.as<std::uint16_t>() + panel * norm_count() * kernels::kFieldRows;
  }

 private:
  struct Sizes {
    std::size_t high01, high2, low, scales, rests, fine;
  };
  struct RowScratch;  // of quantize_row()
  static std::int64_t group_of(std::int64_t cols) { return cols % 64 == 0 ? 64 : 32; }
  static Sizes sizes_of(std::int64_t rows, std::int64_t cols);

  HeadWeight() = default;
  Status allocate(const QuantizedMatrix& matrix, HeadBits bits, Arena& arena);
  void quantize_row(std::int64_t row, RowScratch& scratch);
  // The norm of what the lower bits hold, in steps of the group.
  float quantize_group(std::int64_t row, std::size_t g, RowScratch& scratch);
  void store(std::int64_t row, std::size_t k, std::uint8_t byte);
  std::uint8_t byte_at(std::size_t row, std::size_t k) const;
  kernels::Int8Fields fields() const;

  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  std::int64_t group_ = 0;
  Buffer high01_;  // of kernels::Int8Fields, as the others
  Buffer high2_;
  Buffer low_;     // or empty
  Buffer fine_;    // [rows, cols / 2] four bits below the eight, or empty
  Buffer scales_;  // [panels][cols / group][64] bf16
  Buffer rests_;   // [panels][64] f32: at least the norm of what any group's lower bits hold
};

}  // namespace bitcpm
