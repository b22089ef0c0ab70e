#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/prompt_lookup.h"
#include "engine/speculation.h"

namespace bitcpm {

// How long a proposal is worth its cost, from how earlier ones of the same sequence fared: an
// exponential average of the share of tokens that held, counted up to the first that did not.
class DraftGate {
 public:
  // How many tokens to propose, at most `most`, where each costs `token_cost` of what a token costs
  // without. Closed, it lets a single one through now and then.
  std::int32_t length(std::int32_t most, double token_cost);

  void observe(std::int32_t drafted, std::int32_t accepted);
  double acceptance() const { return acceptance_; }

 private:
  double acceptance_ = 0.6;  // starts open
  std::int32_t held_back_ = 0;
};

// Proposes continuations of one sequence.
class Drafter {
 public:
  // `longest`: tokens the sequence may come to.
  Drafter(const SpeculationConfig& config, std::int32_t longest);

  // At most `most` tokens after `tokens`, often none, in a step of `streams` sequences. Valid until
  // the next call.
  std::span<const TokenId> propose(std::span<const TokenId> tokens, std::int32_t most,
                                   std::int32_t streams);

  std::span<const TokenId> draft() const { return draft_; }  // the last proposal
  void withdraw() { draft_.clear(); }
  void observe(std::int32_t accepted) {
    gate_.observe(static_cast<std::int32_t>(draft_.size()), accepted);
    draft_.clear();
  }

 private:
  bool gated_;
  PromptLookup lookup_;
  DraftGate gate_;
  std::vector<TokenId> draft_;
};

}  // namespace bitcpm
