#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/model_config.h"

namespace bitcpm {

// The inverse frequencies of one model at one context length, and the angles they give.
class Rope {
 public:
  // The long factors apply to everything once the context may exceed the original length, as in
  // Hugging Face's and vLLM's longrope; never token by token, so a prefix keeps its meaning.
  Rope(const RopeConfig& config, std::int32_t head_dim, std::int32_t max_model_len);

  std::int32_t pairs() const { return static_cast<std::int32_t>(inv_freq_.size()); }

  // cos and sin of `position`'s angles, times the attention factor. cos, sin: [pairs()].
  // Rounded to f32 where the reference rounds: factor, power, inverse, product, cosine.
  void angles(std::int32_t position, float* cos, float* sin) const;

 private:
  std::vector<float> inv_freq_;
  float attention_factor_;
};

}  // namespace bitcpm
