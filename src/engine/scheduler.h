#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "engine/block_hash.h"
#include "engine/block_pool.h"
#include "engine/sequence.h"
#include "engine/speculation.h"

namespace bitcpm {

struct SchedulerConfig {
  std::int32_t max_model_len = 0;
  std::int32_t max_num_seqs = 0;
  std::int32_t max_num_batched_tokens = 0;  // >= max_num_seqs, so that every decode fits a step
  bool enable_prefix_caching = true;
  HashKey hash_key{};  // of the prefix cache; secret
  SpeculationConfig speculation = {};
};

// What one sequence does in one step.
struct PlannedSequence {
  Sequence* sequence;
  std::int32_t num_tokens;  // tokens[cached .. cached + num_tokens) enter the cache
  bool samples;             // its last token is among them: the step draws the next one
  bool first;               // its first step ever

  // Tokens after its last one that enter the cache on trial; only if it samples.
  std::span<const TokenId> draft() const {
    return samples ? sequence->draft() : std::span<const TokenId>();
  }
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

struct SchedulerCounters {
  std::int64_t preemptions = 0;
  std::int64_t prompt_tokens = 0;   // of requests at their first admission
  std::int64_t prefix_queries = 0;  // those of them that were looked up in the prefix cache
  std::int64_t prefix_hits = 0;     // and that were found
  SpeculationTotals speculation;
};

// Decides who runs. Continuous batching with chunked prefill; requests are served in the order of
// (priority, arrival); who is last in it gives its blocks back when they run out or when an earlier
// one has no place, and is computed again, to the same bits. Full blocks are shared by content.
//
// The bound: whoever is first in the order is in every step, with its next token or, while it reads
// its prompt, with at least c = ceil((max_num_batched_tokens - max_num_seqs + 1) / 2) tokens of it.
// So a request that k others precede, and none later overtakes by priority, has ended after the sum
// of ceil(prompt / c) + max_tokens over those k and itself.
//
// No clock, no tensors, no threads: a function of the calls made to it.
class Scheduler {
 public:
  // pool must hold max_model_len tokens, so that any one sequence fits alone.
  Scheduler(const SchedulerConfig& config, std::vector<TokenId> eos_token_ids, BlockPool pool);

  void add(std::unique_ptr<Sequence> sequence);

  // Removes a sequence; nothing if it is unknown. Not between plan() and commit().
  std::optional<Outcome> cancel(RequestId request);

  // The next step; empty if there is nothing to do. Valid until commit(), which must follow. For
  // each entry that samples, in order, it takes a token and, as long as the last one equals the
  // next of the entry's draft, another one.
  const StepPlan& plan();
  std::span<const Outcome> commit(std::span<const TokenId> sampled);

  // Forgets what the prefix cache knows. Not between plan() and commit().
  void reset_prefix_cache();

  void set_time(double seconds) { pool_.set_time(seconds); }  // BlockPool::residency(), no decision

  bool idle() const { return running_.empty() && waiting_.empty(); }
  std::int32_t running() const { return static_cast<std::int32_t>(running_.size()); }
  std::int32_t waiting() const { return static_cast<std::int32_t>(waiting_.size()); }
  // Of the waiting ones, those that the last plan passed over for what another was computing.
  std::int32_t deferred() const { return std::min(deferred_, waiting()); }
  const SchedulerCounters& counters() const { return counters_; }
  const BlockPool& pool() const { return pool_; }
  std::vector<RequestId> requests() const;  // all that are here, running first

  void check_integrity() const;  // aborts if an invariant is broken

 private:
  void plan_decodes();
  void admit_waiting(bool preempted);
  bool make_place(Sequence& sequence, bool preempted);
  bool attach(Sequence& sequence);
  bool computed_by_another(Sequence& sequence);
  void plan_prompts();
  void plan_drafts();
  void schedule(Sequence& sequence, std::int32_t num_tokens);
  void preempt_last();

  std::span<const BlockHash> hashes_of(Sequence& sequence, std::int32_t tokens) const;
  void publish_full_blocks(Sequence& sequence);
  std::size_t accept_tokens(const PlannedSequence& planned, std::span<const TokenId> sampled);
  bool accept_token(Sequence& sequence, TokenId token);
  void remove_finished();

  SchedulerConfig config_;
  std::vector<TokenId> eos_token_ids_;
  BlockPool pool_;
  BlockHasher hasher_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in order
  std::deque<std::unique_ptr<Sequence>> waiting_;   // in order
  StepPlan plan_;
  std::int32_t budget_ = 0;    // tokens that the plan being made may still take
  std::int32_t deferred_ = 0;  // places that it keeps
  std::vector<Outcome> outcomes_;
  std::vector<Sequence*> finished_;
  std::int64_t next_arrival_ = 0;
  SchedulerCounters counters_;
};

}  // namespace bitcpm
