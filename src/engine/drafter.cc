#include "engine/drafter.h"

#include <algorithm>
#include <cmath>

namespace bitcpm {
namespace {

// What one more row costs a step of one row, as a share of it: measured with MiniCPM4-0.5B in
// `fast` numerics on two CPUs of Emerald Rapids (bitcpm bench decode --batch 1,10); less where
// arithmetic is cheaper beside memory.
constexpr double kRowCost = 0.28;
constexpr double kWeight = 1.0 / 8;       // of the newest observation
constexpr std::int32_t kProbeEvery = 32;  // proposals held back between two probes

}  // namespace

// The n-th token of a proposal holds with a probability of acceptance^n.
std::int32_t DraftGate::length(std::int32_t most, double token_cost) {
  if (acceptance_ > token_cost) {
    held_back_ = 0;
    const double worthwhile = std::log(token_cost) / std::log(std::min(acceptance_, 0.999));
    return worthwhile >= most ? most : static_cast<std::int32_t>(worthwhile);
  }
  if (++held_back_ < kProbeEvery) return 0;
  held_back_ = 0;
  return std::min(most, 1);
}

void DraftGate::observe(std::int32_t drafted, std::int32_t accepted) {
  for (std::int32_t i = 0; i < accepted; ++i) acceptance_ += kWeight * (1 - acceptance_);
  if (accepted < drafted) acceptance_ -= kWeight * acceptance_;
}

Drafter::Drafter(const SpeculationConfig& config, std::int32_t longest)
    : gated_(config.gated), lookup_(config.prompt_lookup_min, config.prompt_lookup_max, longest) {
  draft_.reserve(SpeculationConfig::kMaxTokens);
}

std::span<const TokenId> Drafter::propose(std::span<const TokenId> tokens, std::int32_t most,
                                          std::int32_t streams) {
  draft_.clear();
  const std::span<const TokenId> found = lookup_.find(tokens, most);
  if (found.empty()) return {};
  // A row costs the same beside many as beside few, but the tokens of many are cheaper.
  const double token_cost = kRowCost * streams / (1 + kRowCost * (streams - 1));
  const auto longest = static_cast<std::int32_t>(found.size());
  const auto count = static_cast<std::size_t>(gated_ ? gate_.length(longest, token_cost) : longest);
  draft_.assign(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count));
  return draft_;
}

}  // namespace bitcpm
