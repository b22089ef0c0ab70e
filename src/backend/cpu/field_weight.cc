#include "backend/cpu/field_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {
namespace {

using kernels::kFieldRows;
using kernels::kFields;

constexpr std::size_t kLanes = kFieldRows / kFields;
constexpr std::int64_t kHeadGroup = 64;
constexpr std::uint8_t kZeroCodes = 0x55;  // four times code 1, weight 0

std::size_t panels_of(std::int64_t rows) {
  return (static_cast<std::size_t>(rows) + kFieldRows - 1) / kFieldRows;
}

// A 4 x 4 matrix of 2-bit elements, row f in byte f, transposed.
std::uint32_t transpose_crumbs(std::uint32_t m) {
  std::uint32_t swap = ((m >> 6) ^ m) & 0x00CC00CCu;
  m ^= swap ^ (swap << 6);
  swap = ((m >> 12) ^ m) & 0x0000F0F0u;
  return m ^ swap ^ (swap << 12);
}

// Lines of one panel from row-major codes, [cols / 4] bytes a row.
void pack_panel(const std::uint8_t* codes, std::size_t rows, std::size_t panel, std::size_t width,
                std::uint8_t* out) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const std::uint8_t* row[kFields];
    for (std::size_t f = 0; f < kFields; ++f) {
      const std::size_t r = panel * kFieldRows + f * kLanes + lane;
      row[f] = r < rows ? codes + r * width : nullptr;
    }
    for (std::size_t i = 0; i < width; ++i) {
      std::uint32_t crumbs = 0;
      for (std::size_t f = 0; f < kFields; ++f) {
        const std::uint32_t byte = row[f] == nullptr ? kZeroCodes : row[f][i];
        crumbs |= byte << 8 * f;
      }
      crumbs = transpose_crumbs(crumbs);
      std::memcpy(out + i * kFieldRows + 4 * lane, &crumbs, 4);
    }
  }
}

// The smallest bf16 that is no smaller than a positive `value`.
std::uint16_t bf16_at_least(float value) {
  const std::uint16_t nearest = bf16_from_f32(value);
  return bf16_to_f32(nearest) < value ? static_cast<std::uint16_t>(nearest + 1) : nearest;
}

}  // namespace

Result<std::unique_ptr<FieldWeight>> FieldWeight::allocate(const QuantizedMatrix& matrix,
                                                           bool ternary, std::int64_t group,
                                                           Arena& arena) {
  std::unique_ptr<FieldWeight> weight(new FieldWeight);
  weight->ternary_ = ternary;
  weight->rows_ = matrix.rows;
  weight->cols_ = matrix.cols;
  weight->group_ = group;
  BITCPM_CHECK(matrix.cols % group == 0 && group % 32 == 0);
  const std::size_t padded = panels_of(matrix.rows) * kFieldRows;
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t line_bytes = padded * cols / (ternary ? 4 : 1);
  const std::size_t scale_bytes = padded * (cols / static_cast<std::size_t>(group)) * 2;
  weight->lines_ = arena.take(line_bytes);
  weight->scales_ = arena.take(scale_bytes);
  if (weight->lines_.size() != line_bytes || weight->scales_.size() != scale_bytes) {
    return Error{Errc::kExhausted, "no memory for a weight of " + std::to_string(matrix.rows) +
                                       " x " + std::to_string(matrix.cols)};
  }
  return weight;
}

Result<std::unique_ptr<PreparedWeight>> FieldWeight::pack_ternary(const QuantizedMatrix& matrix,
                                                                  Arena& arena, ThreadPool& pool) {
  BITCPM_CHECK(matrix.form == WeightForm::kTernary);
  BITCPM_ASSIGN(std::unique_ptr<FieldWeight> weight, allocate(matrix, true, matrix.group, arena));
  const auto rows = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t groups = cols / static_cast<std::size_t>(matrix.group);
  const auto* codes = matrix.codes.as<std::uint8_t>();
  const auto* scales = matrix.scales.as<std::uint16_t>();
  auto* lines = weight->lines_.as<std::uint8_t>();
  auto* out = weight->scales_.as<std::uint16_t>();
  pool.parallel_for(weight->panels(), 1, [&](std::size_t panel, std::size_t) {
    pack_panel(codes, rows, panel, cols / 4, lines + panel * (cols / 4) * kFieldRows);
    for (std::size_t r = 0; r < kFieldRows && panel * kFieldRows + r < rows; ++r) {
      const std::size_t row = panel * kFieldRows + r;
      for (std::size_t g = 0; g < groups; ++g) {
        out[(panel * groups + g) * kFieldRows + r] = scales[row * groups + g];
      }
    }
  });
  return std::unique_ptr<PreparedWeight>(std::move(weight));
}

Result<std::unique_ptr<PreparedWeight>> FieldWeight::quantize(const QuantizedMatrix& matrix,
                                                              Arena& arena, ThreadPool& pool) {
  BITCPM_CHECK(matrix.form != WeightForm::kTernary);
  const std::int64_t group = matrix.cols % kHeadGroup == 0 ? kHeadGroup : 32;
  BITCPM_ASSIGN(std::unique_ptr<FieldWeight> weight, allocate(matrix, false, group, arena));
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const auto width = static_cast<std::size_t>(group);
  auto* lines = weight->lines_.as<std::uint8_t>();
  auto* scales = weight->scales_.as<std::uint16_t>();
  std::memset(lines, kernels::kInt8WeightZero, weight->lines_.size());
  pool.parallel_for(weight->panels(), 1, [&](std::size_t panel, std::size_t) {
    std::vector<float> values(cols);
    for (std::size_t r = 0; r < kFieldRows; ++r) {
      const std::size_t row = panel * kFieldRows + r;
      if (row >= static_cast<std::size_t>(matrix.rows)) break;
      decode_row(matrix, static_cast<std::int64_t>(row), values);
      for (std::size_t g = 0; g < cols / width; ++g) {
        const float* in = values.data() + g * width;
        float largest = 0;
        for (std::size_t k = 0; k < width; ++k) largest = std::max(largest, std::abs(in[k]));
        const std::uint16_t scale = bf16_at_least(largest / 127.0f);
        scales[(panel * (cols / width) + g) * kFieldRows + r] = scale;
        const float step = bf16_to_f32(scale);
        if (!(step > 0)) continue;
        for (std::size_t k = 0; k < width; ++k) {
          const auto code = static_cast<int>(std::lrint(in[k] / step)) + kernels::kInt8WeightZero;
          const std::size_t line = panel * cols / 4 + (g * width + k) / 4;
          lines[(line * kFields + r / kLanes) * kFieldRows + 4 * (r % kLanes) + k % 4] =
              static_cast<std::uint8_t>(code);
        }
      }
    }
  });
  return std::unique_ptr<PreparedWeight>(std::move(weight));
}

std::size_t FieldWeight::panels() const { return panels_of(rows_); }

void FieldWeight::multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                           const CpuLinearInput& x, std::int64_t token, TensorView out) const {
  const kernels::QuantizedIo io{x.quantized_from(token), static_cast<std::size_t>(out.rows),
                                out.data, static_cast<std::size_t>(out.stride)};
  const auto rows = static_cast<std::size_t>(rows_);
  const auto cols = static_cast<std::size_t>(cols_);
  const auto group = static_cast<std::size_t>(group_);
  const auto* lines = lines_.as<std::uint8_t>();
  const auto* scales = scales_.as<std::uint16_t>();
  if (ternary_) {
    table.ternary_fields({lines, scales, rows, cols, group}, first, last, io);
  } else {
    table.int8_fields({lines, scales, rows, cols, group}, first, last, io);
  }
}

void FieldWeight::copy_row(std::int64_t row, float scale, float* out) const {
  BITCPM_CHECK(!ternary_ && row >= 0 && row < rows_);
  const auto cols = static_cast<std::size_t>(cols_);
  const auto group = static_cast<std::size_t>(group_);
  const std::size_t panel = static_cast<std::size_t>(row) / kFieldRows;
  const std::size_t r = static_cast<std::size_t>(row) % kFieldRows;
  const std::uint8_t* lines = lines_.as<std::uint8_t>() + panel * cols * kFieldRows +
                              r / kLanes * kFieldRows + 4 * (r % kLanes);
  const std::uint16_t* scales = scales_.as<std::uint16_t>() + panel * (cols / group) * kFieldRows;
  for (std::size_t k = 0; k < cols; ++k) {
    const float step = bf16_to_f32(scales[k / group * kFieldRows + r]);
    const int code = lines[k / 4 * kFields * kFieldRows + k % 4] - kernels::kInt8WeightZero;
    out[k] = scale * (step * static_cast<float>(code));
  }
}

}  // namespace bitcpm
