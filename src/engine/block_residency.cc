#include "engine/block_residency.h"

#include <algorithm>

#include "base/mix64.h"

namespace bitcpm {
void BlockResidencyTotals::Spread::observe(double seconds) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts[static_cast<std::size_t>(bound - kBounds.begin())];
  sum += seconds;
}

BlockResidency::BlockResidency(std::int32_t num_blocks, double share)
    : share_(share), lives_(share > 0 ? static_cast<std::size_t>(num_blocks) : 0) {}

void BlockResidency::begin(std::int32_t block) {
  Life& life = lives_[static_cast<std::size_t>(block)];
  if (life.is_followed) count(life);
  life = {};
  // Need not be unforeseeable, only unrelated to what blocks are used for.
  life.is_followed = unit_interval(mix64(++draws_ * kMixStep)) < share_;
  life.birth = life.last_use = now_;
}

void BlockResidency::use(std::int32_t block) {
  Life& life = lives_[static_cast<std::size_t>(block)];
  if (!life.is_followed) return;
  if (life.num_uses == life.uses.size()) {
    std::rotate(life.uses.begin(), life.uses.begin() + 1, life.uses.end());
    --life.num_uses;
  }
  life.uses[life.num_uses++] = life.last_use = now_;
}

void BlockResidency::count(const Life& life) {
  totals_.lifetime.observe(now_ - life.birth);
  totals_.idle_before_evict.observe(now_ - life.last_use);
  for (std::size_t i = 1; i < life.num_uses; ++i) {
    totals_.reuse_gap.observe(life.uses[i] - life.uses[i - 1]);
  }
}

void BlockResidency::forget_all() { std::fill(lives_.begin(), lives_.end(), Life{}); }

}  // namespace bitcpm
