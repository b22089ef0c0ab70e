#include "backend/cpu/panel_weight.h"

#include <string>
#include <utility>

#include "base/dtype.h"

namespace bitcpm {
namespace {

using kernels::kPanelRows;

constexpr std::size_t kPanelsPerTask = 4;

std::size_t panels_of(std::int64_t rows) {
  return (static_cast<std::size_t>(rows) + kPanelRows - 1) / kPanelRows;
}

// Transposes 16 rows at a time: out[panel][i][r] = in[16 panel + r][i], 0 past the last row.
void to_panels(const std::uint32_t* in, std::size_t rows, std::size_t width, std::uint32_t* out,
               ThreadPool& pool) {
  const std::size_t panels = (rows + kPanelRows - 1) / kPanelRows;
  pool.parallel_for(panels, kPanelsPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t panel = begin; panel < end; ++panel) {
      std::uint32_t* panel_out = out + panel * width * kPanelRows;
      for (std::size_t r = 0; r < kPanelRows; ++r) {
        const std::size_t row = panel * kPanelRows + r;
        const std::uint32_t* row_in = in + row * width;
        for (std::size_t i = 0; i < width; ++i) {
          panel_out[i * kPanelRows + r] = row < rows ? row_in[i] : 0;
        }
      }
    }
  });
}

}  // namespace

Result<std::unique_ptr<PreparedWeight>> PanelWeight::pack(const QuantizedMatrix& matrix,
                                                          bool bf16_input, Arena& arena,
                                                          ThreadPool& pool) {
  const auto rows = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  BITCPM_CHECK(matrix.form != WeightForm::kTernary);
  BITCPM_CHECK(cols % kernels::kBf16Block == 0);  // the model's shape rules promise it
  const bool narrow = matrix.form == WeightForm::kBf16;

  std::unique_ptr<PanelWeight> weight(new PanelWeight);
  weight->form_ = matrix.form;
  weight->input_ = narrow && bf16_input ? InputForm::kBf16 : InputForm::kFloats;
  weight->rows_ = matrix.rows;
  weight->cols_ = matrix.cols;
  weight->values_ = arena.take(panels_of(matrix.rows) * kPanelRows * cols * (narrow ? 2 : 4));
  if (weight->values_.size() < matrix.codes.size()) {
    return Error{Errc::kExhausted, "no memory for a weight of " + std::to_string(rows) + " x " +
                                       std::to_string(cols)};
  }
  // Pairs of bf16 travel together: both forms are words of 32 bits.
  to_panels(matrix.codes.as<std::uint32_t>(), rows, narrow ? cols / 2 : cols,
            weight->values_.as<std::uint32_t>(), pool);
  return std::unique_ptr<PreparedWeight>(std::move(weight));
}

std::size_t PanelWeight::panels() const { return panels_of(rows_); }

void PanelWeight::multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                           const CpuLinearInput& x, std::int64_t token, TensorView out) const {
  const auto rows = static_cast<std::size_t>(rows_);
  const auto cols = static_cast<std::size_t>(cols_);
  const auto ldy = static_cast<std::size_t>(out.stride);
  const auto tokens = static_cast<std::size_t>(out.rows);
  const kernels::Bf16Panels narrow{values_.as<std::uint32_t>(), rows, cols};
  if (input_ == InputForm::kBf16) {
    const std::size_t ldx = CpuLinearInput::bf16_pitch(cols);
    const auto* values = x.bf16_values() + static_cast<std::size_t>(token) * ldx;
    table.bf16_products(narrow, first, last, {values, ldx, out.data, ldy, tokens});
    return;
  }
  const kernels::LinearIo io{x.values() + token * cols_, cols, out.data, ldy, tokens};
  if (form_ == WeightForm::kBf16) {
    table.bf16_linear(narrow, first, last, io);
  } else {
    table.f32_linear({values_.as<float>(), rows, cols}, first, last, io);
  }
}

void PanelWeight::copy_row(std::int64_t row, float scale, float* out) const {
  BITCPM_CHECK(row >= 0 && row < rows_);
  const auto cols = static_cast<std::size_t>(cols_);
  const std::size_t panel = static_cast<std::size_t>(row) / kPanelRows;
  const std::size_t lane = static_cast<std::size_t>(row) % kPanelRows;
  if (form_ == WeightForm::kF32) {
    const float* values = values_.as<float>() + panel * cols * kPanelRows + lane;
    for (std::size_t k = 0; k < cols; ++k) out[k] = scale * values[k * kPanelRows];
    return;
  }
  const std::uint32_t* pairs = values_.as<std::uint32_t>() + panel * (cols / 2) * kPanelRows + lane;
  for (std::size_t k = 0; k < cols; k += 2) {
    const std::uint32_t pair = pairs[k / 2 * kPanelRows];
    out[k] = scale * bf16_to_f32(static_cast<std::uint16_t>(pair));
    out[k + 1] = scale * bf16_to_f32(static_cast<std::uint16_t>(pair >> 16));
  }
}

}  // namespace bitcpm
