#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/block_hash.h"
#include "engine/drafter.h"
#include "engine/request.h"
#include "engine/token_counts.h"

namespace bitcpm {

// One request on its way: its tokens so far and how many of them are in the KV cache.
struct Sequence {
  RequestId id = 0;
  SamplingParams params;
  std::vector<TokenId> tokens;  // the prompt, then what was generated
  std::int32_t prompt_tokens = 0;
  std::int32_t cached = 0;           // tokens whose K and V are in `blocks`
  std::vector<std::int32_t> blocks;  // KV blocks, in order of position
  std::int32_t prompt_scored = 0;    // the last prompt token whose log-probability is known
  std::int64_t arrival = 0;          // place in the order of Scheduler::add()
  std::int32_t preemptions = 0;
  bool begun = false;            // was in some step's plan
  std::int32_t prefix_hit = -1;  // prompt tokens found cached at the first admission; -1: none yet
  // Entry i names block i (block_hash.h), for as many full blocks as anybody asked about.
  std::vector<BlockHash> hashes;
  std::int32_t published = 0;        // leading blocks that others may share
  std::unique_ptr<Drafter> drafter;  // once the sequence has been drafted for
  TokenCounts counts;                // of `tokens`, as far as penalties have needed them

  Sequence(RequestId request, std::vector<TokenId> prompt, SamplingParams sampling)
      : id(request),
        params(std::move(sampling)),
        tokens(std::move(prompt)),
        prompt_tokens(static_cast<std::int32_t>(tokens.size())) {}

  std::int32_t length() const { return static_cast<std::int32_t>(tokens.size()); }
  std::int32_t generated() const { return length() - prompt_tokens; }
  std::int32_t pending() const { return length() - cached; }  // >= 1 while running

  // Proposed to follow `tokens` in the step that is planned.
  std::span<const TokenId> draft() const {
    return drafter ? drafter->draft() : std::span<const TokenId>();
  }

  // The order in which requests are served: by priority, then by arrival. Total and fixed.
  bool before(const Sequence& other) const {
    return params.priority != other.params.priority ? params.priority < other.params.priority
                                                    : arrival < other.arrival;
  }

  // Tokens that need not be computed if their blocks are known: the last one is, for its logits,
  // and so are all whose logits score a prompt token that has no log-probability yet.
  std::int32_t skippable() const {
    const bool scores = params.prompt_logprobs && prompt_scored + 1 < prompt_tokens;
    return scores ? prompt_scored : length() - 1;
  }
};

}  // namespace bitcpm
