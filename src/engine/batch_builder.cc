#include "engine/batch_builder.h"

#include <algorithm>

namespace bitcpm {

BatchBuilder::BatchBuilder(std::int32_t max_tokens, std::int32_t max_seqs) {
  const auto tokens = static_cast<std::size_t>(max_tokens);
  tokens_.reserve(tokens);
  slices_.reserve(static_cast<std::size_t>(max_seqs));
  logits_rows_.reserve(tokens);
  uses_.reserve(tokens);
}

BatchView BatchBuilder::build(const StepPlan& plan) {
  tokens_.clear();
  slices_.clear();
  logits_rows_.clear();
  uses_.clear();
  for (const PlannedSequence& planned : plan) add(planned);
  return {tokens_, slices_, logits_rows_};
}

void BatchBuilder::add(const PlannedSequence& planned) {
  Sequence& sequence = *planned.sequence;
  const auto first_row = static_cast<std::int32_t>(tokens_.size());
  const std::int32_t begin = sequence.cached;
  const std::int32_t end = begin + planned.num_tokens;
  tokens_.insert(tokens_.end(), sequence.tokens.begin() + begin, sequence.tokens.begin() + end);
  const std::span<const TokenId> draft = planned.draft();
  tokens_.insert(tokens_.end(), draft.begin(), draft.end());
  const auto drafted = static_cast<std::int32_t>(draft.size());
  slices_.push_back({first_row, planned.num_tokens + drafted, begin, sequence.blocks});
  if (sequence.params.prompt_logprobs) {
    // The row of token i scores token i + 1. After a preemption, what was scored stays scored.
    const std::int32_t last = std::min(end + 1, sequence.prompt_tokens);
    for (std::int32_t i = std::max(begin + 1, sequence.prompt_scored + 1); i < last; ++i) {
      logits_rows_.push_back(first_row + i - 1 - begin);
      uses_.push_back({&sequence, i});
    }
  }
  if (!planned.samples) return;
  for (std::int32_t i = 0; i <= drafted; ++i) {
    logits_rows_.push_back(first_row + planned.num_tokens - 1 + i);
    uses_.push_back({&sequence, -1, i});
  }
}

}  // namespace bitcpm
