#pragma once

#include <span>
#include <vector>

#include "engine/sequence.h"

namespace bitcpm {

// Whether apply() below changes the logits of the sequence's next token at all.
bool adjusts_logits(const Sequence& sequence);

// What changes a model's logits before a token is drawn, greedy or not; vLLM's rules in vLLM's
// order: allowed_token_ids, bad_words, min_tokens, logit_bias, then the penalties (repetition over
// prompt and output, presence and frequency over the output). One per thread.
class LogitsProcessors {
 public:
  // `eos_token_ids`: the model's own, held back while a sequence is below min_tokens.
  explicit LogitsProcessors(std::vector<TokenId> eos_token_ids);

  // In place, logits: [vocab], for the token after sequence.tokens. A ban is minus infinity.
  void apply(std::span<float> logits, Sequence& sequence);

 private:
  std::vector<TokenId> eos_token_ids_;
  std::vector<float> kept_;  // scratch: the logits of allowed_token_ids
};

}  // namespace bitcpm
