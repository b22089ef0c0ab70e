#include "engine/step_sampler.h"

#include <algorithm>

#include "engine/sampler.h"

namespace bitcpm {
namespace {

// How many of the largest logits decide all of these uses; 0: all logits.
std::int32_t top_of(std::span<const LogitsUse> uses) {
  std::int32_t most = 0;
  for (const LogitsUse& use : uses) {
    const std::int32_t top = use.prompt_index >= 0 ? 0 : deciding_logits(*use.sequence);
    if (top == 0) return 0;
    most = std::max(most, top);
  }
  return most;
}

}  // namespace

void StepSampler::run(std::span<const LogitsUse> uses, Workspace& workspace, StepTotals& totals,
                      Stopwatch& watch, Keep keep) {
  for (std::size_t first = 0; first < uses.size(); first += Model::kMaxLogitsRows) {
    const std::size_t count =
        std::min(uses.size() - first, static_cast<std::size_t>(Model::kMaxLogitsRows));
    const auto part = uses.subspan(first, count);
    const TensorView logits =
        model_.logits(static_cast<std::int32_t>(first), static_cast<std::int32_t>(count), workspace,
                      top_of(part));
    watch.lap(totals.forward_seconds);
    run_part(part, logits, keep);
    watch.lap(totals.sample_seconds);
  }
  restore();
}

void StepSampler::run_part(std::span<const LogitsUse> uses, TensorView logits, Keep keep) {
  for (std::size_t i = 0; i < uses.size();) {
    std::size_t end = i;
    while (end < uses.size() && uses[end].drafted == 0) ++end;
    if (end > i) restore();
    if (end == i && extend(uses[i])) end = i + 1;
    if (end > i) {
      const TensorView rows{logits.row(static_cast<std::int64_t>(i)),
                            static_cast<std::int64_t>(end - i), logits.cols, logits.stride};
      run_rows(uses.subspan(i, end - i), rows, keep);
    }
    i = std::max(end, i + 1);
  }
}

void StepSampler::run_rows(std::span<const LogitsUse> uses, TensorView logits, Keep keep) {
  const std::span<const RowResult> results = rows_.run(uses, logits);
  for (std::size_t i = 0; i < uses.size(); ++i) keep(uses[i], results[i]);
  last_ = results.back().token;
}

// Puts the last token in place, if it is the one on which the row's draft was built.
bool StepSampler::extend(const LogitsUse& use) {
  Sequence& sequence = *use.sequence;
  if (use.drafted == 1) {
    extended_ = &sequence;
    length_ = sequence.tokens.size();
  }
  if (last_ != sequence.draft()[static_cast<std::size_t>(use.drafted) - 1]) {
    last_.reset();  // nor do the rows that follow count
    return false;
  }
  sequence.tokens.push_back(*last_);
  return true;
}

void StepSampler::restore() {
  if (extended_ != nullptr) extended_->tokens.resize(length_);
  extended_ = nullptr;
}

}  // namespace bitcpm
