#include "backend/cpu/head_weight.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "backend/cpu/field_layout.h"
#include "base/dtype.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {
namespace {

using kernels::kFieldRows;
using kernels::kScreenLow;

constexpr float kLeastStep = 0x1p-126f;  // whose inverse is finite

// To an integer within a range; `most` for a NaN.
int rounded(float value, int least, int most) {
  const float below = std::min(static_cast<float>(most), std::nearbyint(value));
  return static_cast<int>(std::max(static_cast<float>(least), below));
}

// Where a weight's bits are in the planes.
struct Place {
  std::size_t line, byte, field;  // the byte is of the line

  Place(std::size_t row, std::size_t k, std::size_t cols)
      : line(row / kFieldRows * (cols / 4) + k / 4),
        byte(4 * (row % kFieldLanes) + k % 4),
        field(row % kFieldRows / kFieldLanes) {}

  std::size_t in_plane() const { return line * kFieldRows + byte; }  // of one line each
  // The byte of line i of the upper bits.
  template <class Plane>
  auto& upper(std::size_t i, Plane& high01, Plane& high2) const {
    return i < 2 ? high01.template as<std::uint8_t>()[(2 * line + i) * kFieldRows + byte]
                 : high2.template as<std::uint8_t>()[in_plane()];
  }
  int low_shift() const { return static_cast<int>(2 * (field + 1) % 8); }
};

// Field 3 is spread over the lines of the others: which of its bits line i holds.
constexpr std::size_t kLastField = kernels::kFields - 1;
constexpr int spread_shift(std::size_t i) { return 6 - 2 * static_cast<int>(i); }

}  // namespace

HeadWeight::Sizes HeadWeight::sizes_of(std::int64_t rows, std::int64_t cols) {
  const auto r = static_cast<std::size_t>(rows);
  const auto k = static_cast<std::size_t>(cols);
  const std::size_t padded = field_panels(rows) * kFieldRows;
  return {.high01 = padded * k / 2,
          .high2 = padded * k / 4,
          .low = padded * k / 4,
          .scales = padded * groups_of(cols) * sizeof(std::uint16_t),
          .rests = padded * sizeof(float),
          .fine = r * k / 2};
}

Status HeadWeight::allocate(const QuantizedMatrix& matrix, HeadBits bits, Arena& arena) {
  rows_ = matrix.rows;
  cols_ = matrix.cols;
  group_ = group_of(cols_);
  const Sizes sizes = sizes_of(rows_, cols_);
  const auto take = [&](std::size_t size, Buffer& buffer) {
    buffer = arena.take(size);
    return buffer.size() == size;
  };
  if (!take(sizes.rests, rests_) || !take(sizes.scales, scales_) || !take(sizes.high01, high01_) ||
      !take(sizes.high2, high2_) || !take(bits == HeadBits::kUpper ? 0 : sizes.low, low_) ||
      !take(bits == HeadBits::kEmbedding ? sizes.fine : 0, fine_)) {
    return Error{Errc::kExhausted, "no memory for a head of " + std::to_string(rows_) + " x " +
                                       std::to_string(cols_)};
  }
  return {};
}

struct HeadWeight::RowScratch {
  std::vector<float> values, estimates, steps;
};

Result<std::unique_ptr<PreparedWeight>> HeadWeight::quantize(const QuantizedMatrix& matrix,
                                                             HeadBits bits, Arena& arena,
                                                             ThreadPool& pool) {
  std::unique_ptr<HeadWeight> weight;
  BITCPM_ASSIGN(weight, quantize(matrix, bits, arena, pool, [](const RoundedRow&) {}));
  return std::unique_ptr<PreparedWeight>(std::move(weight));
}

Result<std::unique_ptr<HeadWeight>> HeadWeight::quantize(const QuantizedMatrix& matrix,
                                                         HeadBits bits, Arena& arena,
                                                         ThreadPool& pool, const SawRow& saw) {
  BITCPM_CHECK(matrix.form != WeightForm::kTernary && matrix.cols % 32 == 0);
  std::unique_ptr<HeadWeight> weight(new HeadWeight);
  BITCPM_TRY(weight->allocate(matrix, bits, arena));
  const auto cols = static_cast<std::size_t>(matrix.cols);
  pool.parallel_for(weight->panels(), 4, [&](std::size_t begin, std::size_t end) {
    RowScratch scratch{std::vector<float>(cols), std::vector<float>(cols),
                       std::vector<float>(groups_of(matrix.cols))};
    const auto first = static_cast<std::int64_t>(begin * kFieldRows);
    const auto last = std::min(matrix.rows, static_cast<std::int64_t>(end * kFieldRows));
    for (std::int64_t row = first; row < last; ++row) {
      decode_row(matrix, row, scratch.values);
      weight->quantize_row(row, scratch);
      saw({row, scratch.values.data(), scratch.estimates.data(), scratch.steps.data()});
    }
  });
  return weight;
}

void HeadWeight::quantize_row(std::int64_t row, RowScratch& scratch) {
  float rest = 0;
  for (std::size_t g = 0; g < groups_of(cols_); ++g) {
    rest = std::max(rest, quantize_group(row, g, scratch));
  }
  // Both sums are chains of at most 3 cols / 64 fused operations on terms whose norm is at most
  // that of the largest weights, 128 each: what their roundings may add to the bound. And a little
  // for the roundings of the bound itself.
  const float rounding = 2 * (3 * static_cast<float>(cols_) / 64 + 4) * 0x1p-24f * 128 *
                         std::sqrt(static_cast<float>(group_));
  rests_.as<float>()[row] = 1.0001f * (rest + rounding);
}

float HeadWeight::quantize_group(std::int64_t row, std::size_t g, RowScratch& scratch) {
  const auto r = static_cast<std::size_t>(row);
  const auto width = static_cast<std::size_t>(group_);
  const float* in = scratch.values.data() + g * width;
  float largest = 0;
  for (std::size_t k = 0; k < width; ++k) largest = std::max(largest, std::abs(in[k]));
  const std::uint16_t scale =
      largest > 0 ? bf16_at_least(std::max(largest / 127.0f, kLeastStep)) : std::uint16_t{0};
  scales_.as<std::uint16_t>()[group_place(r, groups_of(cols_), g)] = scale;
  const float step = bf16_to_f32(scale);
  scratch.steps[g] = step;
  const float inverse = step > 0 ? 1 / step : 0;
  float squares = 0;
  for (std::size_t k = 0; k < width; ++k) {
    const int weight = rounded(in[k] * inverse, -127, 127);
    store(row, g * width + k, static_cast<std::uint8_t>(weight));
    const int upper = (weight & ~3) + kScreenLow;
    scratch.estimates[g * width + k] = step * static_cast<float>(upper);
    const auto low = static_cast<float>(weight - upper);
    squares += low * low;
    if (fine_.size() == 0) continue;
    const float below = in[k] * inverse - static_cast<float>(weight);
    fine_.as<std::uint8_t>()[(r * static_cast<std::size_t>(cols_) + g * width + k) / 2] |=
        static_cast<std::uint8_t>((rounded(16 * below, -8, 7) + 8) << 4 * (k % 2));
  }
  return step > 0 ? std::sqrt(squares) : 0;
}

void HeadWeight::store(std::int64_t row, std::size_t k, std::uint8_t byte) {
  const Place at(static_cast<std::size_t>(row), k, static_cast<std::size_t>(cols_));
  for (std::size_t i = 0; i < kLastField; ++i) {
    if (at.field != i && at.field != kLastField) continue;
    const int bits = at.field == i ? byte & 0xfc : byte >> spread_shift(i) & 3;
    at.upper(i, high01_, high2_) |= static_cast<std::uint8_t>(bits);
  }
  if (low_.size() == 0) return;
  low_.as<std::uint8_t>()[at.in_plane()] |= static_cast<std::uint8_t>((byte & 3) << at.low_shift());
}

std::uint8_t HeadWeight::byte_at(std::size_t row, std::size_t k) const {
  const Place at(row, k, static_cast<std::size_t>(cols_));
  int byte = low_.as<std::uint8_t>()[at.in_plane()] >> at.low_shift() & 3;
  for (std::size_t i = 0; i < kLastField; ++i) {
    const int line = at.upper(i, high01_, high2_);
    if (at.field == i) byte |= line & 0xfc;
    if (at.field == kLastField) byte |= (line & 3) << spread_shift(i);
  }
  return static_cast<std::uint8_t>(byte);
}

std::size_t HeadWeight::panels() const { return field_panels(rows_); }

kernels::Int8Fields HeadWeight::fields() const {
  return {high01_.as<std::uint8_t>(),      high2_.as<std::uint8_t>(),
          low_.as<std::uint8_t>(),         scales_.as<std::uint16_t>(),
          static_cast<std::size_t>(rows_), static_cast<std::size_t>(cols_),
          static_cast<std::size_t>(group_)};
}

void HeadWeight::multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                          const CpuLinearInput& x, std::int64_t token, TensorView out) const {
  BITCPM_CHECK(low_.size() > 0);
  table.int8_fields(fields(), first, last,
                    {x.quantized_from(token), static_cast<std::size_t>(out.rows), out.data,
                     static_cast<std::size_t>(out.stride)});
}

void HeadWeight::screen(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                        const CpuLinearInput& x, TensorView out) const {
  table.screen_fields(fields(), first, last,
                      {x.quantized_from(0), static_cast<std::size_t>(out.rows), out.data,
                       static_cast<std::size_t>(out.stride)});
}

void HeadWeight::find_norms(const CpuLinearInput& x, std::int64_t t, float* norms) const {
  const auto width = static_cast<std::size_t>(group_);
  const kernels::QuantizedRows row = x.quantized_from(t);
  for (std::size_t g = 0; g < norm_count(); ++g) {
    double squares = 0;
    for (std::size_t k = g * width; k < (g + 1) * width; ++k) {
      const double value = code_value(row, k);
      squares += value * value;
    }
    norms[g] = static_cast<float>(std::sqrt(squares) * 1.000001);  // no smaller, once rounded
  }
}

float HeadWeight::ceiling(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                          std::span<const float> estimates) const {
  return table.head_ceiling({.scales = panel_scales(panel),
                             .groups = norm_count(),
                             .norms = norms,
                             .terms = 1,
                             .factors = {rests_.as<float>() + panel * kFieldRows},
                             .estimates = estimates.data(),
                             .rows = estimates.size()});
}

void HeadWeight::copy_row(std::int64_t row, float scale, float* out) const {
  BITCPM_CHECK(fine_.size() > 0 && row >= 0 && row < rows_);
  const auto r = static_cast<std::size_t>(row);
  const auto cols = static_cast<std::size_t>(cols_);
  const auto width = static_cast<std::size_t>(group_);
  const auto* fine = fine_.as<std::uint8_t>() + r * cols / 2;
  const std::uint16_t* scales =
      scales_.as<std::uint16_t>() + r / kFieldRows * (cols / width) * kFieldRows + r % kFieldRows;
  for (std::size_t k = 0; k < cols; ++k) {
    const auto weight = static_cast<std::int8_t>(byte_at(r, k));
    const int rest = (fine[k / 2] >> 4 * (k % 2) & 15) - 8;
    const auto sixteenths = static_cast<float>(16 * weight + rest);
    out[k] = scale * (bf16_to_f32(scales[k / width * kFieldRows]) * 0.0625f * sixteenths);
  }
}

}  // namespace bitcpm
