#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace bitcpm {

// log of the sum of the exponentials of one position's logits, in f64. Not of none.
double log_sum_exp(std::span<const float> logits);

// The ids of the five largest logits, largest first, equal ones by ascending id; fewer only if the
// vocabulary is smaller.
class TopIds {
 public:
  static constexpr std::size_t kMost = 5;

  explicit TopIds(std::span<const float> logits);

  std::span<const std::size_t> ids() const { return {ids_.data(), count_}; }
  bool has(std::size_t id) const;
  std::size_t shared_with(const TopIds& other) const;

 private:
  std::array<std::size_t, kMost> ids_{};
  std::size_t count_ = 0;
};

}  // namespace bitcpm
