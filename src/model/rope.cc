#include "model/rope.h"

#include <cmath>

namespace bitcpm {

Rope::Rope(const RopeConfig& config, std::int32_t head_dim, std::int32_t max_model_len)
    : attention_factor_(config.attention_factor) {
  const bool is_long = max_model_len > config.original_max_position;
  const std::vector<float>& factors = is_long ? config.long_factor : config.short_factor;
  inv_freq_.reserve(static_cast<std::size_t>(head_dim) / 2);
  for (std::int32_t i = 0; i < head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const auto power = static_cast<float>(
        std::pow(static_cast<double>(config.theta), static_cast<double>(exponent)));
    inv_freq_.push_back(1.0f / (factors[static_cast<std::size_t>(i)] * power));
  }
}

void Rope::angles(std::int32_t position, float* cos, float* sin) const {
  for (std::size_t i = 0; i < inv_freq_.size(); ++i) {
    const float angle = static_cast<float>(position) * inv_freq_[i];
    cos[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * attention_factor_;
    sin[i] = static_cast<float>(std::sin(static_cast<double>(angle))) * attention_factor_;
  }
}

}  // namespace bitcpm
