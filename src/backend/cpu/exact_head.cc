#include "backend/cpu/exact_head.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "backend/cpu/field_layout.h"
#include "base/dtype.h"

namespace bitcpm {
namespace {

using kernels::kFieldRows;

constexpr float kAbove = 1.0001f;  // for the roundings of norms and bounds themselves

template <class Weight>
Result<std::unique_ptr<Weight>> as(Result<std::unique_ptr<PreparedWeight>> made) {
  if (!made.ok()) return std::move(made).error();
  return std::unique_ptr<Weight>(static_cast<Weight*>(std::move(made).value().release()));
}

// At least the Euclidean norm of element(k), k < width, a multiple of 8; as bf16, whose order is
// that of its bits. Eight sums, for the vector units.
template <class Element>
std::uint16_t norm(std::size_t width, const Element& element) {
  float squares[8] = {};
  for (std::size_t k = 0; k < width; k += 8) {
    for (std::size_t i = 0; i < 8; ++i) squares[i] += element(k + i) * element(k + i);
  }
  float sum = 0;
  for (const float part : squares) sum += part;
  constexpr float kVanished = 1e-18f;  // of elements whose squares a float cannot hold
  return bf16_at_least(kAbove * std::sqrt(sum) + kVanished);
}

}  // namespace

Result<std::unique_ptr<PreparedWeight>> ExactHead::make(const QuantizedMatrix& matrix, Arena& arena,
                                                        ThreadPool& pool) {
  std::unique_ptr<ExactHead> head(new ExactHead);
  BITCPM_ASSIGN(head->weights_, as<PanelWeight>(PanelWeight::pack(matrix, false, arena, pool)));
  const std::size_t bytes =
      field_panels(matrix.rows) * kFieldRows * head->groups() * sizeof(std::uint16_t);
  head->errors_ = arena.take(bytes);
  head->sizes_ = arena.take(bytes);
  if (head->errors_.size() < bytes || head->sizes_.size() < bytes) {
    return Error{Errc::kExhausted, "no memory for the screen of a head of " +
                                       std::to_string(matrix.rows) + " x " +
                                       std::to_string(matrix.cols)};
  }
  const auto keep = [&](std::int64_t row, const float* values, const float* rounded) {
    head->keep_norms(row, values, rounded);
  };
  BITCPM_ASSIGN(head->coarse_,
                as<HeadWeight>(HeadWeight::quantize(matrix, false, arena, pool, keep)));
  return std::unique_ptr<PreparedWeight>(std::move(head));
}

void ExactHead::keep_norms(std::int64_t row, const float* values, const float* rounded) {
  const std::size_t width = static_cast<std::size_t>(cols()) / groups();
  for (std::size_t g = 0; g < groups(); ++g) {
    const float* v = values + g * width;
    const float* w = rounded + g * width;
    const std::size_t at = group_place(static_cast<std::size_t>(row), groups(), g);
    errors_.as<std::uint16_t>()[at] = norm(width, [&](std::size_t k) { return v[k] - w[k]; });
    sizes_.as<std::uint16_t>()[at] = std::max(norm(width, [&](std::size_t k) { return v[k]; }),
                                              norm(width, [&](std::size_t k) { return w[k]; }));
  }
}

std::size_t ExactHead::bytes() const {
  return weights_->bytes() + coarse_->bytes() + errors_.size() + sizes_.size();
}

std::size_t ExactHead::top_logits_bytes() const {
  return coarse_->product_bytes() + errors_.size() + sizes_.size();
}

void ExactHead::find_norms(const CpuLinearInput& x, std::int64_t t, float* norms) const {
  const auto width = static_cast<std::size_t>(coarse_->group());
  const float* values = x.values() + t * cols();
  const kernels::QuantizedRows codes = x.quantized_from(t);
  // multiply() adds at most 64 products to a sum and then sums to sums, screen() three operations
  // per group; each rounds by at most 2^-24 of what a norm bounds.
  const double steps = 80 + static_cast<double>(cols()) / 128 + 3 * static_cast<double>(groups());
  for (std::size_t g = 0; g < groups(); ++g) {
    double size = 0;
    double rounded_size = 0;
    double error = 0;
    for (std::size_t k = g * width; k < (g + 1) * width; ++k) {
      const double value = values[k];
      const double rounded = code_value(codes, k);
      size += value * value;
      rounded_size += rounded * rounded;
      error += (value - rounded) * (value - rounded);
    }
    const double larger = std::sqrt(std::max(size, rounded_size));
    norms[g] = kAbove * static_cast<float>(std::sqrt(size));
    norms[groups() + g] =
        kAbove * static_cast<float>(std::sqrt(error) + 2 * steps * 0x1p-24 * larger);
  }
}

void ExactHead::screen(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                       const CpuLinearInput& x, TensorView out) const {
  coarse_->multiply(table, first, last, x, 0, out);
}

void ExactHead::bounds(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                       float* out) const {
  const std::size_t at = panel * groups() * kFieldRows;
  float of_rounding[kFieldRows];
  table.scaled_norms(errors_.as<std::uint16_t>() + at, groups(), norms, out);
  table.scaled_norms(sizes_.as<std::uint16_t>() + at, groups(), norms + groups(), of_rounding);
  for (std::size_t r = 0; r < kFieldRows; ++r) out[r] = kAbove * (out[r] + of_rounding[r]);
}

}  // namespace bitcpm
