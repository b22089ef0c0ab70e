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
using kernels::kInt8WeightZero;

// Where a weight's nibbles are in the planes.
struct Place {
  std::size_t byte;
  bool odd;  // field
};

Place place_of(std::size_t row, std::size_t k, std::size_t cols) {
  const std::size_t field = row % kFieldRows / kFieldLanes;
  const std::size_t line = (row / kFieldRows * (cols / 4) + k / 4) * 2 + field / 2;
  return {line * kFieldRows + 4 * (row % kFieldLanes) + k % 4, field % 2 == 1};
}

}  // namespace

HeadWeight::Sizes HeadWeight::sizes_of(std::int64_t rows, std::int64_t cols) {
  const auto r = static_cast<std::size_t>(rows);
  const auto k = static_cast<std::size_t>(cols);
  const std::size_t padded = field_panels(rows) * kFieldRows;
  return {.plane = padded * k / 2,
          .per_group = padded * (k / static_cast<std::size_t>(group_of(cols))) * 2,
          .fine = r * k / 2};
}

Status HeadWeight::allocate(const QuantizedMatrix& matrix, bool embeds, Arena& arena) {
  rows_ = matrix.rows;
  cols_ = matrix.cols;
  group_ = group_of(cols_);
  const Sizes sizes = sizes_of(rows_, cols_);
  const auto take = [&](std::size_t size, Buffer& buffer) {
    buffer = arena.take(size);
    return buffer.size() == size;
  };
  if (!take(sizes.per_group, norms_) || !take(sizes.per_group, scales_) ||
      !take(sizes.plane, high_) || !take(sizes.plane, low_) ||
      !take(embeds ? sizes.fine : 0, fine_)) {
    return Error{Errc::kExhausted, "no memory for a head of " + std::to_string(rows_) + " x " +
                                       std::to_string(cols_)};
  }
  return {};
}

Result<std::unique_ptr<PreparedWeight>> HeadWeight::quantize(const QuantizedMatrix& matrix,
                                                             bool embeds, Arena& arena,
                                                             ThreadPool& pool) {
  return quantize(matrix, embeds, arena, pool, [](std::int64_t, const float*, const float*) {});
}

Result<std::unique_ptr<PreparedWeight>> HeadWeight::quantize(const QuantizedMatrix& matrix,
                                                             bool embeds, Arena& arena,
                                                             ThreadPool& pool, const SawRow& saw) {
  BITCPM_CHECK(matrix.form != WeightForm::kTernary && matrix.cols % 32 == 0);
  std::unique_ptr<HeadWeight> weight(new HeadWeight);
  BITCPM_TRY(weight->allocate(matrix, embeds, arena));
  pool.parallel_for(weight->panels(), 4, [&](std::size_t begin, std::size_t end) {
    std::vector<float> values(static_cast<std::size_t>(matrix.cols));
    std::vector<float> rounded(values.size());
    const auto first = static_cast<std::int64_t>(begin * kFieldRows);
    const auto last = std::min(matrix.rows, static_cast<std::int64_t>(end * kFieldRows));
    for (std::int64_t row = first; row < last; ++row) {
      decode_row(matrix, row, values);
      weight->quantize_row(row, values.data(), rounded.data());
      saw(row, values.data(), rounded.data());
    }
  });
  return std::unique_ptr<PreparedWeight>(std::move(weight));
}

void HeadWeight::quantize_row(std::int64_t row, const float* values, float* rounded) {
  const auto r = static_cast<std::size_t>(row);
  const auto cols = static_cast<std::size_t>(cols_);
  const auto width = static_cast<std::size_t>(group_);
  // Both sums are chains of at most 3 cols / 64 fused operations on terms whose norm is at most
  // that of the largest weights, 128 each: what their roundings may add to the bound.
  const float rounding = 2 * (3 * static_cast<float>(cols) / 64 + 4) * 0x1p-24f * 128 *
                         std::sqrt(static_cast<float>(width));
  for (std::size_t g = 0; g < cols / width; ++g) {
    const float* in = values + g * width;
    float largest = 0;
    for (std::size_t k = 0; k < width; ++k) largest = std::max(largest, std::abs(in[k]));
    const std::uint16_t scale = bf16_at_least(largest / 127.0f);
    const float step = bf16_to_f32(scale);
    const float inverse = step > 0 ? 1 / step : 0;
    float squares = 0;
    for (std::size_t k = 0; k < width; ++k) {
      const float code = std::clamp(std::nearbyint(in[k] * inverse), -127.0f, 127.0f);
      rounded[g * width + k] = step * code;
      const int byte = static_cast<int>(code) + kInt8WeightZero;
      store(row, g * width + k, byte);
      const auto low = static_cast<float>(byte % 16 - 8);
      squares += low * low;
      if (fine_.size() == 0) continue;
      const float rest = std::clamp(std::nearbyint(16 * (in[k] * inverse - code)), -8.0f, 7.0f);
      fine_.as<std::uint8_t>()[(r * cols + g * width + k) / 2] |=
          static_cast<std::uint8_t>((static_cast<int>(rest) + 8) << 4 * (k % 2));
    }
    const std::size_t at = group_place(r, cols / width, g);
    scales_.as<std::uint16_t>()[at] = scale;
    // A little more, for the roundings of the bound itself.
    norms_.as<std::uint16_t>()[at] =
        bf16_at_least(1.0001f * step * (std::sqrt(squares) + rounding));
  }
}

void HeadWeight::store(std::int64_t row, std::size_t k, int byte) {
  const Place at = place_of(static_cast<std::size_t>(row), k, static_cast<std::size_t>(cols_));
  const int high = at.odd ? byte & 0xf0 : byte >> 4;
  const int low = at.odd ? byte & 0x0f : (byte & 0x0f) << 4;
  high_.as<std::uint8_t>()[at.byte] |= static_cast<std::uint8_t>(high);
  low_.as<std::uint8_t>()[at.byte] |= static_cast<std::uint8_t>(low);
}

std::size_t HeadWeight::panels() const { return field_panels(rows_); }

kernels::Int8Fields HeadWeight::fields() const {
  return {high_.as<std::uint8_t>(),        low_.as<std::uint8_t>(),
          scales_.as<std::uint16_t>(),     static_cast<std::size_t>(rows_),
          static_cast<std::size_t>(cols_), static_cast<std::size_t>(group_)};
}

void HeadWeight::multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                          const CpuLinearInput& x, std::int64_t token, TensorView out) const {
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

void HeadWeight::bounds(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                        float* out) const {
  table.scaled_norms(norms_.as<std::uint16_t>() + panel * norm_count() * kFieldRows, norm_count(),
                     norms, out);
}

void HeadWeight::copy_row(std::int64_t row, float scale, float* out) const {
  BITCPM_CHECK(fine_.size() > 0 && row >= 0 && row < rows_);
  const auto r = static_cast<std::size_t>(row);
  const auto cols = static_cast<std::size_t>(cols_);
  const auto width = static_cast<std::size_t>(group_);
  const auto* high = high_.as<std::uint8_t>();
  const auto* low = low_.as<std::uint8_t>();
  const auto* fine = fine_.as<std::uint8_t>() + r * cols / 2;
  const std::uint16_t* scales =
      scales_.as<std::uint16_t>() + r / kFieldRows * (cols / width) * kFieldRows + r % kFieldRows;
  for (std::size_t k = 0; k < cols; ++k) {
    const Place at = place_of(r, k, cols);
    const int byte = at.odd ? (high[at.byte] & 0xf0) | (low[at.byte] & 0x0f)
                            : (high[at.byte] & 0x0f) << 4 | low[at.byte] >> 4;
    const int rest = (fine[k / 2] >> 4 * (k % 2) & 15) - 8;
    const auto sixteenths = static_cast<float>(16 * (byte - kInt8WeightZero) + rest);
    out[k] = scale * (bf16_to_f32(scales[k / width * kFieldRows]) * 0.0625f * sixteenths);
  }
}

}  // namespace bitcpm
