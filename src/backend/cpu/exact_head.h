#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/cpu/head_weight.h"
#include "backend/cpu/panel_weight.h"
#include "backend/cpu/screened_head.h"

namespace bitcpm {

// The head in `exact` numerics: the weights as they are, multiplied in f32, and beside them the
// upper bits of the head of `fast` as a screen of far fewer bytes. With w and x what is
// multiplied, w' and x' what the screen has of them, by groups of in-features:
//   |w x - w' x'| <= |w - w'| |x| + |w'| |x - x'|  (Cauchy and Schwarz)
// and the roundings of both.
class ExactHead final : public ScreenedHead {
 public:
  // Requires a dense form. Errors: kExhausted.
  static Result<std::unique_ptr<PreparedWeight>> make(const QuantizedMatrix& matrix, Arena& arena,
                                                      ThreadPool& pool);

  std::int64_t rows() const override { return weights_->rows(); }
  std::int64_t cols() const override { return weights_->cols(); }
  std::size_t bytes() const override;
  std::size_t product_bytes() const override { return weights_->product_bytes(); }
  std::size_t top_logits_bytes() const override;
  std::size_t panels() const override { return weights_->panels(); }
  std::int64_t panel_rows() const override { return weights_->panel_rows(); }
  // Of a few rows, which are bound by memory.
  std::span<const std::byte> stream() const override { return coarse_->stream(); }
  InputForm input_form() const override { return weights_->input_form(); }
  bool screens_codes() const override { return true; }
  std::int64_t group() const override { return coarse_->group(); }
  void multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                const CpuLinearInput& x, std::int64_t token, TensorView out) const override {
    weights_->multiply(table, first, last, x, token, out);
  }
  void copy_row(std::int64_t row, float scale, float* out) const override {
    weights_->copy_row(row, scale, out);
  }

  // More have not been measured (docs/adr/0035).
  std::int64_t most_screened_rows(const kernels::KernelTable&) const override { return 4; }
  std::size_t norm_count() const override { return 2 * groups(); }
  void find_norms(const CpuLinearInput& x, std::int64_t t, float* norms) const override;
  void screen(const kernels::KernelTable& table, std::size_t first, std::size_t last,
              const CpuLinearInput& x, TensorView out) const override;
  float ceiling(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                std::span<const float> estimates) const override;

 private:
  ExactHead() = default;
  std::size_t groups() const { return HeadWeight::groups_of(cols()); }
  void keep_norms(const HeadWeight::RoundedRow& row);

  std::unique_ptr<PanelWeight> weights_;
  std::unique_ptr<HeadWeight> coarse_;
  // [panels][64] f32, at least those of any group, in steps of its 8-bit values
  Buffer errors_;  // |w - w'|
  Buffer sizes_;   // the larger of |w| and |w'|
};

}  // namespace bitcpm
