#include "backend/cpu/exact_head.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "backend/cpu/field_layout.h"
#include "base/dtype.h"

namespace bitcpm {
namespace {

using kernels::kFieldRows;

constexpr float kAbove = 1.0001f;  // for the roundings of norms and bounds themselves

// The larger of both; infinity if a value has been a NaN.
void raise(float& most, float value) {
  if (!(value <= most)) most = value == value ? value : std::numeric_limits<float>::infinity();
}

// The Euclidean norm of element(k), k < width, a multiple of 8. Eight sums, for the vector units.
template <class Element>
float norm(std::size_t width, const Element& element) {
  float squares[8] = {};
  for (std::size_t k = 0; k < width; k += 8) {
    for (std::size_t i = 0; i < 8; ++i) squares[i] += element(k + i) * element(k + i);
  }
  float sum = 0;
  for (const float part : squares) sum += part;
  return std::sqrt(sum);
}

}  // namespace

Result<std::unique_ptr<PreparedWeight>> ExactHead::make(const QuantizedMatrix& matrix, Arena& arena,
                                                        ThreadPool& pool) {
  std::unique_ptr<ExactHead> head(new ExactHead);
  std::unique_ptr<PreparedWeight> weights;
  BITCPM_ASSIGN(weights, PanelWeight::pack(matrix, false, arena, pool));
  head->weights_.reset(static_cast<PanelWeight*>(weights.release()));
  const std::size_t bytes = field_panels(matrix.rows) * kFieldRows * sizeof(float);
  head->errors_ = arena.take(bytes);
  head->sizes_ = arena.take(bytes);
  if (head->errors_.size() < bytes || head->sizes_.size() < bytes) {
    return Error{Errc::kExhausted, "no memory for the screen of a head of " +
                                       std::to_string(matrix.rows) + " x " +
                                       std::to_string(matrix.cols)};
  }
  const auto keep = [&](const HeadWeight::RoundedRow& row) { head->keep_norms(row); };
  BITCPM_ASSIGN(head->coarse_, HeadWeight::quantize(matrix, HeadBits::kUpper, arena, pool, keep));
  return std::unique_ptr<PreparedWeight>(std::move(head));
}

void ExactHead::keep_norms(const HeadWeight::RoundedRow& row) {
  const std::size_t width = static_cast<std::size_t>(cols()) / groups();
  float error = 0;
  float size = 0;
  for (std::size_t g = 0; g < groups(); ++g) {
    if (row.steps[g] == 0) continue;  // a group of zeros
    const float inverse = 1 / row.steps[g];
    const float* values = row.values + g * width;
    const float* estimates = row.estimates + g * width;
    const auto of_values = [&](std::size_t k) { return inverse * values[k]; };
    const auto of_estimates = [&](std::size_t k) { return inverse * estimates[k]; };
    const auto of_errors = [&](std::size_t k) { return inverse * (values[k] - estimates[k]); };
    raise(error, norm(width, of_errors));
    raise(size, norm(width, of_values));
    raise(size, norm(width, of_estimates));
  }
  errors_.as<float>()[row.row] = kAbove * error;
  sizes_.as<float>()[row.row] = kAbove * size;
}

std::size_t ExactHead::bytes() const {
  return weights_->bytes() + coarse_->bytes() + errors_.size() + sizes_.size();
}

std::size_t ExactHead::top_logits_bytes() const {
  return coarse_->top_logits_bytes() + errors_.size() + sizes_.size();
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
  coarse_->screen(table, first, last, x, out);
}

float ExactHead::ceiling(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                         std::span<const float> estimates) const {
  return table.head_ceiling({.scales = coarse_->panel_scales(panel),
                             .groups = groups(),
                             .norms = norms,
                             .terms = 2,
                             .factors = {errors_.as<float>() + panel * kFieldRows,
                                         sizes_.as<float>() + panel * kFieldRows},
                             .estimates = estimates.data(),
                             .rows = estimates.size()});
}

}  // namespace bitcpm
