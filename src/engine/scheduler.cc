#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace bitcpm {
namespace {

bool contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// The order in which requests are served: by priority, then by arrival. Total and fixed.
bool before(const std::unique_ptr<Sequence>& a, const std::unique_ptr<Sequence>& b) {
  return a->params.priority != b->params.priority ? a->params.priority < b->params.priority
                                                  : a->arrival < b->arrival;
}

Outcome outcome_of(const Sequence& sequence) {
  return {.request = sequence.id,
          .cached_tokens = std::max(sequence.prefix_hit, 0),
          .preemptions = sequence.preemptions};
}

template <class Queue>
void insert_in_order(Queue& queue, std::unique_ptr<Sequence> sequence) {
  const auto place = std::upper_bound(queue.begin(), queue.end(), sequence, before);
  queue.insert(place, std::move(sequence));
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
  sequence->arrival = next_arrival_++;
  insert_in_order(waiting_, std::move(sequence));
}

std::optional<Outcome> Scheduler::cancel(RequestId request) {
  const auto is_it = [&](const std::unique_ptr<Sequence>& s) { return s->id == request; };
  const auto remove_from = [&](auto& queue) -> std::optional<Outcome> {
    const auto found = std::find_if(queue.begin(), queue.end(), is_it);
    if (found == queue.end()) return std::nullopt;
    Outcome outcome = outcome_of(**found);
    outcome.finish = FinishReason::kCancelled;
    pool_.release((*found)->blocks);
    queue.erase(found);
    return outcome;
  };
  std::optional<Outcome> outcome = remove_from(running_);
  return outcome ? outcome : remove_from(waiting_);
}

// Prefill and decode are one case: pending() tokens are not yet in the cache.
const StepPlan& Scheduler::plan() {
  plan_.clear();
  budget_ = limits_.max_num_batched_tokens;
  const std::int64_t preempted_before = preemptions_;
  const auto decodes = [](const Sequence& s) { return s.pending() == 1; };
  plan_running([&](const Sequence& s) { return decodes(s); });  // never wait for a prompt
  plan_running([&](const Sequence& s) { return !decodes(s); });
  // Right after a preemption it would only thrash.
  if (preemptions_ == preempted_before) admit_waiting();
  return plan_;
}

// The most urgent always fits: the pool holds any one sequence alone.
void Scheduler::plan_running(FunctionRef<bool(const Sequence&)> wanted) {
  for (std::size_t i = 0; i < running_.size() && budget_ > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (!wanted(sequence)) continue;
    const std::int32_t n = std::min(sequence.pending(), budget_);
    bool fits = reserve(sequence, n);
    while (!fits && running_.size() > i + 1) {
      preempt_last();
      fits = reserve(sequence, n);
    }
    if (fits) schedule(sequence, n, false);
  }
}

void Scheduler::admit_waiting() {
  while (budget_ > 0 && !waiting_.empty() && running() < limits_.max_num_seqs) {
    Sequence& sequence = *waiting_.front();
    const std::int32_t n = std::min(sequence.pending(), budget_);
    if (!reserve(sequence, n)) return;  // nobody overtakes
    schedule(sequence, n, sequence.prefix_hit < 0);
    sequence.prefix_hit = std::max(sequence.prefix_hit, 0);
    insert_in_order(running_, std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

bool Scheduler::reserve(Sequence& sequence, std::int32_t num_tokens) {
  return pool_.reserve(sequence.cached + num_tokens, sequence.blocks);
}

void Scheduler::schedule(Sequence& sequence, std::int32_t num_tokens, bool first) {
  plan_.push_back({&sequence, num_tokens, num_tokens == sequence.pending(), first});
  budget_ -= num_tokens;
}

// Its tokens stay; what it had in the cache is computed again, to the same bits.
void Scheduler::preempt_last() {
  std::unique_ptr<Sequence> last = std::move(running_.back());
  running_.pop_back();
  const auto planned = std::find_if(plan_.begin(), plan_.end(), [&](const PlannedSequence& p) {
    return p.sequence == last.get();
  });
  if (planned != plan_.end()) {
    budget_ += planned->num_tokens;
    plan_.erase(planned);
  }
  pool_.release(last->blocks);
  last->cached = 0;
  ++last->preemptions;
  ++preemptions_;
  insert_in_order(waiting_, std::move(last));
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
  Outcome outcome = outcome_of(sequence);
  outcome.token = token;
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
    BITCPM_CHECK(i == 0 || before(running_[i - 1], running_[i]));
    held += static_cast<std::int32_t>(s.blocks.size());
  }
  BITCPM_CHECK(held == pool_.used());
  for (const auto& s : waiting_) BITCPM_CHECK(s->blocks.empty() && s->cached == 0);
  BITCPM_CHECK(running() <= limits_.max_num_seqs);
}

}  // namespace bitcpm
