#include "backend/cpu/panel_weight.h"

#include <algorithm>
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

// Transposes 16 rows at a time: out[panel][i][r] = in[16 panel + r][i], `fill` past the last row.
template <class T>
void to_panels(const T* in, std::size_t rows, std::size_t width, T fill, T* out, ThreadPool& pool) {
  const std::size_t panels = (rows + kPanelRows - 1) / kPanelRows;
  pool.parallel_for(panels, kPanelsPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t panel = begin; panel < end; ++panel) {
      T* panel_out = out + panel * width * kPanelRows;
      for (std::size_t r = 0; r < kPanelRows; ++r) {
        const std::size_t row = panel * kPanelRows + r;
        const T* row_in = in + row * width;
        for (std::size_t i = 0; i < width; ++i) {
          panel_out[i * kPanelRows + r] = row < rows ? row_in[i] : fill;
        }
      }
    }
  });
}

constexpr std::uint32_t kAllZeroCodes = 0x55555555u;  // sixteen times code 1, weight 0

}  // namespace

Result<std::unique_ptr<PreparedWeight>> PanelWeight::pack(QuantizedMatrix matrix, Arena& arena,
                                                          ThreadPool& pool) {
  const auto rows = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const bool ternary = matrix.form == WeightForm::kTernary;
  BITCPM_CHECK(cols % (ternary ? 32 : 2) == 0);  // the model's shape rules promise multiples of 32
  const std::size_t padded = panels_of(matrix.rows) * kPanelRows;

  std::unique_ptr<PanelWeight> weight(new PanelWeight);
  weight->form_ = matrix.form;
  weight->rows_ = matrix.rows;
  weight->cols_ = matrix.cols;
  weight->group_ = matrix.group;
  weight->codes_ = arena.take(matrix.codes.size() / std::max<std::size_t>(rows, 1) * padded);
  weight->scales_ = arena.take(matrix.scales.size() / std::max<std::size_t>(rows, 1) * padded);
  if (weight->codes_.size() < matrix.codes.size() ||
      weight->scales_.size() < matrix.scales.size()) {
    return Error{Errc::kExhausted, "no memory for a weight of " + std::to_string(rows) + " x " +
                                       std::to_string(cols)};
  }
  switch (matrix.form) {
    case WeightForm::kTernary:
      to_panels(matrix.codes.as<std::uint32_t>(), rows, cols / 16, kAllZeroCodes,
                weight->codes_.as<std::uint32_t>(), pool);
      to_panels(matrix.scales.as<std::uint16_t>(), rows,
                cols / static_cast<std::size_t>(matrix.group), std::uint16_t{0},
                weight->scales_.as<std::uint16_t>(), pool);
      break;
    case WeightForm::kBf16:
      to_panels(matrix.codes.as<std::uint32_t>(), rows, cols / 2, 0u,
                weight->codes_.as<std::uint32_t>(), pool);
      break;
    case WeightForm::kF32:
      to_panels(matrix.codes.as<float>(), rows, cols, 0.0f, weight->codes_.as<float>(), pool);
      break;
  }
  return std::unique_ptr<PreparedWeight>(std::move(weight));
}

std::size_t PanelWeight::panels() const { return panels_of(rows_); }

void PanelWeight::multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                           const CpuLinearInput& x, std::int64_t token, TensorView out) const {
  const auto rows = static_cast<std::size_t>(rows_);
  const auto cols = static_cast<std::size_t>(cols_);
  const kernels::LinearIo io{x.values() + token * cols_, cols, out.data,
                             static_cast<std::size_t>(out.stride),
                             static_cast<std::size_t>(out.rows)};
  switch (form_) {
    case WeightForm::kTernary:
      table.ternary_linear({codes_.as<std::uint32_t>(), scales_.as<std::uint16_t>(), rows, cols,
                            static_cast<std::size_t>(group_)},
                           first, last, io);
      return;
    case WeightForm::kBf16:
      table.bf16_linear({codes_.as<std::uint32_t>(), rows, cols}, first, last, io);
      return;
    case WeightForm::kF32:
      table.f32_linear({codes_.as<float>(), rows, cols}, first, last, io);
      return;
  }
}

void PanelWeight::copy_row(std::int64_t row, float scale, float* out) const {
  BITCPM_CHECK(form_ != WeightForm::kTernary && row >= 0 && row < rows_);
  const auto cols = static_cast<std::size_t>(cols_);
  const std::size_t panel = static_cast<std::size_t>(row) / kPanelRows;
  const std::size_t lane = static_cast<std::size_t>(row) % kPanelRows;
  if (form_ == WeightForm::kF32) {
    const float* values = codes_.as<float>() + panel * cols * kPanelRows + lane;
    for (std::size_t k = 0; k < cols; ++k) out[k] = scale * values[k * kPanelRows];
    return;
  }
  const std::uint32_t* pairs = codes_.as<std::uint32_t>() + panel * (cols / 2) * kPanelRows + lane;
  for (std::size_t k = 0; k < cols; k += 2) {
    const std::uint32_t pair = pairs[k / 2 * kPanelRows];
    out[k] = scale * bf16_to_f32(static_cast<std::uint16_t>(pair));
    out[k + 1] = scale * bf16_to_f32(static_cast<std::uint16_t>(pair >> 16));
  }
}

}  // namespace bitcpm
