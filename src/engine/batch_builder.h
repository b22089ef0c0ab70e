#pragma once

#include <cstdint>
#include <vector>

#include "backend/batch_view.h"
#include "engine/scheduler.h"

namespace bitcpm {

// Why a row's logits are wanted.
struct LogitsUse {
  Sequence* sequence;
  std::int32_t prompt_index;  // scores this prompt token; -1: draws the next token
  // Draws the token after this many of the sequence's draft; of use only if they hold.
  std::int32_t drafted = 0;
};

// Turns a step plan into the arrays a forward pass reads. Its memory is reused from step to step.
class BatchBuilder {
 public:
  // For steps of up to `max_tokens` tokens of up to `max_seqs` sequences nothing is allocated
  // later.
  BatchBuilder(std::int32_t max_tokens, std::int32_t max_seqs);

  // The view is valid until the next call, and while the plan's sequences stay as they are.
  BatchView build(const StepPlan& plan);

  // One entry per logits row of the last view, in order.
  const std::vector<LogitsUse>& uses() const { return uses_; }

 private:
  void add(const PlannedSequence& planned);

  std::vector<TokenId> tokens_;
  std::vector<SequenceSlice> slices_;
  std::vector<std::int32_t> logits_rows_;
  std::vector<LogitsUse> uses_;
};

}  // namespace bitcpm
