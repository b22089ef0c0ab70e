#include "measure/logits_row.h"

#include <algorithm>
#include <cmath>

namespace bitcpm {

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

TopIds::TopIds(std::span<const float> logits) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    std::size_t at = count_;
    while (at > 0 && logits[ids_[at - 1]] < logits[i]) --at;
    if (at == kMost) continue;
    count_ = std::min(count_ + 1, kMost);
    std::copy_backward(ids_.begin() + static_cast<std::ptrdiff_t>(at),
                       ids_.begin() + static_cast<std::ptrdiff_t>(count_) - 1,
                       ids_.begin() + static_cast<std::ptrdiff_t>(count_));
    ids_[at] = i;
  }
}

bool TopIds::has(std::size_t id) const {
  const auto known = ids();
  return std::find(known.begin(), known.end(), id) != known.end();
}

std::size_t TopIds::shared_with(const TopIds& other) const {
  const auto known = ids();
  return static_cast<std::size_t>(
      std::count_if(known.begin(), known.end(), [&](std::size_t id) { return other.has(id); }));
}

}  // namespace bitcpm
