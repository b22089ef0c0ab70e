#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace bitcpm {
namespace {

bool contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits, std::vector<TokenId> eos_token_ids,
                     BlockPool pool)
    : limits_(limits), eos_token_ids_(std::move(eos_token_ids)), pool_(std::move(pool)) {
  BITCPM_CHECK(limits_.max_num_seqs > 0 && limits_.max_model_len > 0);
  BITCPM_CHECK(limits_.max_num_batched_tokens >= limits_.max_num_seqs);
  BITCPM_CHECK(pool_.blocks_for(limits_.max_model_len) <= pool_.total());
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  BITCPM_CHECK(sequence->prompt_tokens > 0 && sequence->params.max_tokens > 0);
  BITCPM_CHECK(sequence->prompt_tokens + sequence->params.max_tokens <= limits_.max_model_len);
  waiting_.push_back(std::move(sequence));
}

std::optional<Outcome> Scheduler::cancel(RequestId request) {
  const auto is_it = [&](const std::unique_ptr<Sequence>& s) { return s->id == request; };
  const Outcome outcome{.request = request, .finish = FinishReason::kCancelled};
  if (const auto found = std::find_if(running_.begin(), running_.end(), is_it);
      found != running_.end()) {
    pool_.release((*found)->blocks);
    running_.erase(found);
    return outcome;
  }
  if (const auto found = std::find_if(waiting_.begin(), waiting_.end(), is_it);
      found != waiting_.end()) {
    waiting_.erase(found);  // holds no blocks
    return outcome;
  }
  return std::nullopt;
}

// Prefill and decode are one case: pending() tokens are not yet in the cache. Only the last running
// sequence can be mid-prefill (it absorbs the budget), so a long prompt never delays a decode.
const StepPlan& Scheduler::plan() {
  plan_.clear();
  std::int32_t budget = limits_.max_num_batched_tokens;
  bool preempted = false;
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
    Sequence& sequence = *running_[i];
    const std::int32_t n = std::min(sequence.pending(), budget);
    bool fits = reserve(sequence, n);
    while (!fits && running_.size() > i + 1) {
      preempt_youngest();
      preempted = true;
      fits = reserve(sequence, n);
    }
    // The oldest always fits: the pool holds any one sequence alone.
    if (!fits) return plan_;
    schedule(sequence, n);
    budget -= n;
  }
  if (!preempted) admit_waiting(budget);  // right after a preemption it would only thrash
  return plan_;
}

void Scheduler::admit_waiting(std::int32_t budget) {
  while (budget > 0 && !waiting_.empty() && running() < limits_.max_num_seqs) {
    Sequence& sequence = *waiting_.front();
    const std::int32_t n = std::min(sequence.pending(), budget);
    if (!reserve(sequence, n)) return;  // first come first served: nobody overtakes
    schedule(sequence, n);
    budget -= n;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

bool Scheduler::reserve(Sequence& sequence, std::int32_t num_tokens) {
  return pool_.reserve(sequence.cached + num_tokens, sequence.blocks);
}

void Scheduler::schedule(Sequence& sequence, std::int32_t num_tokens) {
  plan_.push_back({&sequence, num_tokens, num_tokens == sequence.pending()});
}

// Its tokens stay; what it had in the cache is computed again, to the same bits.
void Scheduler::preempt_youngest() {
  std::unique_ptr<Sequence> youngest = std::move(running_.back());
  running_.pop_back();
  pool_.release(youngest->blocks);
  youngest->cached = 0;
  waiting_.push_front(std::move(youngest));
  ++preemptions_;
}

std::span<const Outcome> Scheduler::commit(std::span<const TokenId> sampled) {
  outcomes_.clear();
  std::size_t next = 0;
  for (const PlannedSequence& planned : plan_) {
    Sequence& sequence = *planned.sequence;
    sequence.cached += planned.num_tokens;
    if (!planned.samples) continue;
    BITCPM_CHECK(next < sampled.size());
    outcomes_.push_back(accept_token(sequence, sampled[next++]));
    if (outcomes_.back().finish) finished_.push_back(&sequence);
  }
  BITCPM_CHECK(next == sampled.size());
  plan_.clear();
  remove_finished();
  return outcomes_;
}

Outcome Scheduler::accept_token(Sequence& sequence, TokenId token) const {
  sequence.tokens.push_back(token);
  const SamplingParams& params = sequence.params;
  Outcome outcome{.request = sequence.id, .token = token};
  const bool stops = contains(params.stop_token_ids, token) ||
                     (!params.ignore_eos && contains(eos_token_ids_, token));
  if (stops && sequence.generated() >= params.min_tokens) {
    outcome.finish = FinishReason::kStop;
    outcome.stop_token = token;
  } else if (sequence.generated() >= params.max_tokens) {
    outcome.finish = FinishReason::kLength;
  }
  return outcome;
}

void Scheduler::remove_finished() {
  if (finished_.empty()) return;
  for (Sequence* sequence : finished_) pool_.release(sequence->blocks);
  std::erase_if(running_, [&](const std::unique_ptr<Sequence>& s) {
    return std::find(finished_.begin(), finished_.end(), s.get()) != finished_.end();
  });
  finished_.clear();
}

std::vector<RequestId> Scheduler::requests() const {
  std::vector<RequestId> ids;
  for (const auto& sequence : running_) ids.push_back(sequence->id);
  for (const auto& sequence : waiting_) ids.push_back(sequence->id);
  return ids;
}

void Scheduler::check_integrity() const {
  pool_.check_integrity();
  std::int32_t held = 0;
  for (std::size_t i = 0; i < running_.size(); ++i) {
    const Sequence& s = *running_[i];
    BITCPM_CHECK(s.pending() >= 1 && s.cached >= 0 && s.length() <= limits_.max_model_len);
    BITCPM_CHECK(s.generated() < s.params.max_tokens);
    BITCPM_CHECK(static_cast<std::int32_t>(s.blocks.size()) >= pool_.blocks_for(s.cached));
    // Only the youngest may still be reading a prompt.
    BITCPM_CHECK(s.pending() == 1 || i + 1 == running_.size());
    held += static_cast<std::int32_t>(s.blocks.size());
  }
  BITCPM_CHECK(held == pool_.used());
  for (const auto& s : waiting_) BITCPM_CHECK(s->blocks.empty() && s->cached == 0);
  BITCPM_CHECK(running() <= limits_.max_num_seqs);
}

}  // namespace bitcpm
