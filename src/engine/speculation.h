#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bitcpm {

// Speculative decoding by prompt lookup: what followed the last tokens of a sequence when they
// occurred in it before is proposed as its continuation, and one pass computes all proposed tokens.
// A proposal only decides how many tokens a step yields, never which. Names are those of vLLM's
// --speculative-config.
struct SpeculationConfig {
  static constexpr std::int32_t kMaxTokens = 16;
  static constexpr std::int32_t kMaxLookup = 64;

  std::int32_t num_speculative_tokens = 0;  // per sequence and step, [0, kMaxTokens]; 0: off
  std::int32_t prompt_lookup_min = 5;       // last tokens that must have occurred before, >= 1
  std::int32_t prompt_lookup_max = 5;       // of several such places the longest match wins
  std::int32_t disable_by_batch_size = 4;   // none while more sequences than that are running
  bool gated = true;  // proposes only what is likely to pay; false for tests: whatever it finds
};

// What was proposed and what held.
struct SpeculationTotals {
  std::int64_t drafts = 0;
  std::int64_t draft_tokens = 0;
  std::int64_t accepted_tokens = 0;
  std::array<std::int64_t, SpeculationConfig::kMaxTokens> accepted_by_position{};

  void count(std::int32_t drafted, std::int32_t accepted) {
    ++drafts;
    draft_tokens += drafted;
    accepted_tokens += accepted;
    for (std::int32_t i = 0; i < accepted; ++i) ++accepted_by_position[static_cast<std::size_t>(i)];
  }
};

}  // namespace bitcpm
