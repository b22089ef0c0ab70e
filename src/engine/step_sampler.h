#pragma once

#include <span>

#include "base/function_ref.h"
#include "engine/batch_builder.h"
#include "engine/row_sampler.h"
#include "engine/step_log.h"
#include "model/model.h"

namespace bitcpm {

// Turns the logits that a forward pass was asked for into tokens and log-probabilities. Rows that
// hang on no draft are sampled side by side; those of a draft one after the other, each with the
// tokens before it in place, up to the first token that the draft did not foresee: so every draw
// sees what it would see without a draft.
class StepSampler {
 public:
  using Keep = FunctionRef<void(const LogitsUse& use, const RowResult& result)>;

  StepSampler(const Model& model, RowSampler rows) : model_(model), rows_(std::move(rows)) {}

  // `uses`: of the last forward pass, in order. Calls `keep` in that order, leaving out rows of
  // drafts that did not hold. The head's time counts as forward.
  void run(std::span<const LogitsUse> uses, Workspace& workspace, StepTotals& totals,
           Stopwatch& watch, Keep keep);

 private:
  void run_part(std::span<const LogitsUse> uses, TensorView logits, Keep keep);
  void run_rows(std::span<const LogitsUse> uses, TensorView logits, Keep keep);
  bool extend(const LogitsUse& use);
  void restore();

  const Model& model_;
  RowSampler rows_;
  std::optional<TokenId> last_;   // of the rows so far
  Sequence* extended_ = nullptr;  // the sequence whose draft is being followed
  std::size_t length_ = 0;        // its own
};

}  // namespace bitcpm
