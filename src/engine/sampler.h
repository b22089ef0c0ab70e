#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine_config.h"
#include "engine/logits_processors.h"
#include "engine/sequence.h"

namespace bitcpm {

// A uniform draw from [0, 1) that depends on nothing but its arguments, so that batching never
// changes a token.
double uniform_draw(std::uint64_t seed, std::uint64_t position);

// How many of the largest logits decide the sequence's next token and what is reported of it; 0:
// the whole distribution does.
std::int32_t deciding_logits(const Sequence& sequence);

// Turns logits into tokens. Pure but for its scratch memory; one per thread.
class Sampler {
 public:
  struct Sample {
    TokenId token;
    std::optional<TokenLogprobs> logprobs;  // if the sequence wants some
  };

  Sampler(std::int32_t vocab_size, std::vector<TokenId> eos_token_ids, LogprobsMode mode);

  // Draws the token after sequence.tokens. logits: [vocab], as the model gave them.
  // Order of operations as in vLLM: LogitsProcessors, temperature, min_p, top_k, top_p. Equal
  // logits rank by ascending id; a NaN counts as minus infinity.
  Sample sample(std::span<const float> logits, Sequence& sequence);

  // log-softmax of `logits` at `token` and at the `top` most likely tokens; -1: at all.
  TokenLogprobs score(std::span<const float> logits, TokenId token, std::int32_t top);

 private:
  struct Candidate {
    float logit;
    TokenId token;
  };
  struct Wanted {
    std::int32_t top;              // most likely tokens; -1: all
    std::span<const TokenId> ids;  // these instead
    bool as_logits;
  };
  static bool ranks_before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  }

  void take(std::span<const float> logits);
  TokenId draw(const SamplingParams& params, double uniform);
  std::size_t sorted_prefix_of_mass(double mass);
  void keep_candidates(float temperature);
  TokenLogprobs report(TokenId token, const Wanted& wanted);

  LogprobsMode mode_;
  LogitsProcessors processors_;
  std::vector<float> logits_;  // [vocab], those that are drawn from or reported
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;  // of candidates_, exp((logit - max) / temperature)
};

}  // namespace bitcpm
