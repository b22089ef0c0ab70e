#include "backend/cpu/field_weight.h"

#include <cstring>
#include <string>
#include <utility>

#include "backend/cpu/field_layout.h"

namespace bitcpm {
namespace {

using kernels::kFieldRows;
using kernels::kFields;

constexpr std::uint8_t kZeroCodes = 0x55;  // four times code 1, weight 0

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
  for (std::size_t lane = 0; lane < kFieldLanes; ++lane) {
    const std::uint8_t* row[kFields];
    for (std::size_t f = 0; f < kFields; ++f) {
      const std::size_t r = panel * kFieldRows + f * kFieldLanes + lane;
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

}  // namespace

Result<std::unique_ptr<PreparedWeight>> FieldWeight::pack(const QuantizedMatrix& matrix,
                                                          Arena& arena, ThreadPool& pool) {
  BITCPM_CHECK(matrix.form == WeightForm::kTernary && matrix.group % 32 == 0);
  std::unique_ptr<FieldWeight> weight(new FieldWeight);
  weight->rows_ = matrix.rows;
  weight->cols_ = matrix.cols;
  weight->group_ = matrix.group;
  const std::size_t padded = field_panels(matrix.rows) * kFieldRows;
  const auto rows = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t groups = cols / static_cast<std::size_t>(matrix.group);
  weight->lines_ = arena.take(padded * cols / 4);
  weight->scales_ = arena.take(padded * groups * 2);
  if (weight->lines_.size() == 0 || weight->scales_.size() == 0) {
    return Error{Errc::kExhausted, "no memory for a weight of " + std::to_string(rows) + " x " +
                                       std::to_string(cols)};
  }
  const auto* codes = matrix.codes.as<std::uint8_t>();
  const auto* scales = matrix.scales.as<std::uint16_t>();
  auto* lines = weight->lines_.as<std::uint8_t>();
  auto* out = weight->scales_.as<std::uint16_t>();
  pool.parallel_for(weight->panels(), 1, [&](std::size_t panel, std::size_t) {
    pack_panel(codes, rows, panel, cols / 4, lines + panel * (cols / 4) * kFieldRows);
    for (std::size_t r = 0; r < kFieldRows && panel * kFieldRows + r < rows; ++r) {
      const std::size_t row = panel * kFieldRows + r;
      for (std::size_t g = 0; g < groups; ++g) {
        out[group_place(row, groups, g)] = scales[row * groups + g];
      }
    }
  });
  return std::unique_ptr<PreparedWeight>(std::move(weight));
}

std::size_t FieldWeight::panels() const { return field_panels(rows_); }

void FieldWeight::multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                           const CpuLinearInput& x, std::int64_t token, TensorView out) const {
  table.ternary_fields(
      {lines_.as<std::uint8_t>(), scales_.as<std::uint16_t>(), static_cast<std::size_t>(rows_),
       static_cast<std::size_t>(cols_), static_cast<std::size_t>(group_)},
      first, last,
      {x.quantized_from(token), static_cast<std::size_t>(out.rows), out.data,
       static_cast<std::size_t>(out.stride)});
}

void FieldWeight::copy_row(std::int64_t, float, float*) const { BITCPM_CHECK(false); }

}  // namespace bitcpm
