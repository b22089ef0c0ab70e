#pragma once

#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "engine/batch_builder.h"
#include "engine/sampler.h"
#include "tensor/tensor_view.h"

namespace bitcpm {

// What one row of logits came to: the next token of a sequence with its scores if asked for, or the
// scores of a prompt token.
struct RowResult {
  std::optional<TokenId> token;
  std::optional<TokenLogprobs> logprobs;
};

// Samples and scores rows of logits on all threads of a pool: a sampler each, and results by row,
// so that who did which does not show.
class RowSampler {
 public:
  RowSampler(Backend& backend, std::int32_t vocab_size, const std::vector<TokenId>& eos_token_ids,
             LogprobsMode mode);

  // One result per use, in order; valid until the next call. logits: [uses, vocab]
  std::span<const RowResult> run(std::span<const LogitsUse> uses, TensorView logits);

 private:
  static RowResult read(const LogitsUse& use, std::span<const float> logits, Sampler& sampler);

  ThreadPool& pool_;
  std::vector<Sampler> samplers_;
  std::vector<RowResult> results_;
};

}  // namespace bitcpm
