#pragma once

#include <cstdint>
#include <span>
#include <vector>

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
  // `stop_ids`: the model's own, held back while a sequence is below min_tokens.
  Sampler(std::int32_t vocab_size, std::vector<TokenId> eos_token_ids);

  // Draws the token after sequence.tokens. logits: [vocab], as the model gave them.
  // Order of operations as in vLLM: min_tokens, logit_bias, penalties, temperature, min_p, top_k,
  // top_p. Equal logits rank by ascending id; a NaN counts as minus infinity.
  TokenId sample(std::span<const float> logits, const Sequence& sequence);

  // log-softmax of `logits` at `token` and at the `top` most likely tokens.
  TokenLogprobs score(std::span<const float> logits, TokenId token, std::int32_t top);

 private:
  struct Candidate {
    float logit;
    TokenId token;
  };
  static bool ranks_before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  }

  void adjust(const Sequence& sequence);
  void penalize(const Sequence& sequence);
  TokenId draw(const SamplingParams& params, double uniform);
  std::size_t sorted_prefix_of_mass(double mass);

  std::vector<TokenId> eos_token_ids_;
  std::vector<float> logits_;       // [vocab], adjusted
  std::vector<std::int32_t> seen_;  // [vocab], scratch of penalize(): 0 between calls
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;  // of candidates_, exp((logit - max) / temperature)
};

}  // namespace bitcpm
