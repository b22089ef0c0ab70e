#include "engine/block_residency.h"

#include <algorithm>

namespace bitcpm {
namespace {

// The n-th number of a fixed sequence in [0, 1) (SplitMix64): which blocks are followed need not be
// unforeseeable, only unrelated to what they are used for.
double uniform(std::uint64_t n) {
  std::uint64_t z = (n + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

}  // namespace

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
  life.is_followed = uniform(draws_++) < share_;
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
