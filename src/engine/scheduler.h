#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "engine/block_pool.h"
#include "engine/sequence.h"

namespace bitcpm {

struct SchedulerLimits {
  std::int32_t max_model_len = 0;
  std::int32_t max_num_seqs = 0;
  std::int32_t max_num_batched_tokens = 0;  // >= max_num_seqs, so that every decode fits a step
};

// What one sequence does in one step.
struct PlannedSequence {
  Sequence* sequence;
  std::int32_t num_tokens;  // tokens[cached .. cached + num_tokens) enter the cache
  bool samples;             // its last token is among them: the step draws the next one
  bool first;               // its first step ever
};

using StepPlan = std::vector<PlannedSequence>;

// What a step or a cancellation did to a request.
struct Outcome {
  RequestId request = 0;
  std::optional<TokenId> token = std::nullopt;
  std::optional<FinishReason> finish = std::nullopt;
  std::optional<TokenId> stop_token = std::nullopt;
  std::int32_t cached_tokens = 0;  // of the prompt, found in the prefix cache
  std::int32_t preemptions = 0;    // so far
};

// Decides who runs: continuous batching with chunked prefill, by priority and then first come first
// served, recompute on preemption, of the least urgent first. No clock, no tensors, no threads: a
// function of the calls made to it.
class Scheduler {
 public:
  // pool must hold max_model_len tokens, so that any one sequence fits alone.
  Scheduler(const SchedulerLimits& limits, std::vector<TokenId> eos_token_ids, BlockPool pool);

  void add(std::unique_ptr<Sequence> sequence);

  // Removes a sequence; nothing if it is unknown. Not between plan() and commit().
  std::optional<Outcome> cancel(RequestId request);

  // The next step; empty if there is nothing to do. Valid until commit(), which must follow with
  // one token per entry that samples, in order.
  const StepPlan& plan();
  std::span<const Outcome> commit(std::span<const TokenId> sampled);

  bool idle() const { return running_.empty() && waiting_.empty(); }
  std::int32_t running() const { return static_cast<std::int32_t>(running_.size()); }
  std::int32_t waiting() const { return static_cast<std::int32_t>(waiting_.size()); }
  std::int64_t preemptions() const { return preemptions_; }
  const BlockPool& pool() const { return pool_; }
  std::vector<RequestId> requests() const;  // all that are here, running first

  void check_integrity() const;  // aborts if an invariant is broken

 private:
  bool reserve(Sequence& sequence, std::int32_t num_tokens);
  void preempt_last();
  void schedule(Sequence& sequence, std::int32_t num_tokens, bool first);
  void plan_running(FunctionRef<bool(const Sequence&)> wanted);
  void admit_waiting();
  Outcome accept_token(Sequence& sequence, TokenId token) const;
  void remove_finished();

  SchedulerLimits limits_;
  std::vector<TokenId> eos_token_ids_;
  BlockPool pool_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in order of priority, then of arrival
  std::deque<std::unique_ptr<Sequence>> waiting_;   // likewise
  std::int64_t next_arrival_ = 0;
  std::int32_t budget_ = 0;  // tokens that the plan being made may still take
  StepPlan plan_;
  std::vector<Outcome> outcomes_;
  std::vector<Sequence*> finished_;
  std::int64_t preemptions_ = 0;
};

}  // namespace bitcpm
