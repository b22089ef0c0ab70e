#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/scheduler.h"

namespace bitcpm {
namespace {

// Prompts read side by side even when the first alone would fill every step, so that a short one
// need not wait for the end of a long one.
constexpr std::int32_t kConcurrentPrompts = 4;

bool comes_before(const std::unique_ptr<Sequence>& a, const std::unique_ptr<Sequence>& b) {
  return a->before(*b);
}

bool decodes(const Sequence& sequence) { return sequence.pending() == 1; }

}  // namespace

// Prefill and decode are one case: pending() tokens are not yet in the cache. Those that lack one
// never wait for those that lack many.
const StepPlan& Scheduler::plan() {
  plan_.clear();
  budget_ = config_.max_num_batched_tokens;
  const std::int64_t preemptions = counters_.preemptions;
  plan_decodes();
  admit_waiting(counters_.preemptions > preemptions);
  plan_prompts();
  plan_drafts();
  return plan_;
}

void Scheduler::plan_decodes() {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (!decodes(sequence)) continue;
    bool fits = pool_.reserve(sequence.length(), sequence.blocks);
    while (!fits && running_.size() > i + 1) {
      preempt_last();
      fits = pool_.reserve(sequence.length(), sequence.blocks);
    }
    if (fits) schedule(sequence, 1);
    // Else it is the last: who comes before it goes on and will end.
  }
}

// In order, and nobody overtakes but those who wait for what another one is computing.
void Scheduler::admit_waiting(bool preempted) {
  deferred_ = 0;
  for (std::size_t i = 0; i < waiting_.size();) {
    if (computed_by_another(*waiting_[i])) {
      ++deferred_;
      ++i;
      continue;
    }
    if (!make_place(*waiting_[i], preempted)) return;
    if (decodes(*waiting_[i])) schedule(*waiting_[i], 1);
    const auto entry = waiting_.begin() + static_cast<std::ptrdiff_t>(i);
    const auto place = std::upper_bound(running_.begin(), running_.end(), *entry, comes_before);
    running_.insert(place, std::move(*entry));
    waiting_.erase(entry);
  }
}

// Gives a waiting sequence blocks and a place in this step, if need be at the cost of running ones
// that come after it in the order.
bool Scheduler::make_place(Sequence& sequence, bool preempted) {
  const auto is_last = [&] { return running_.empty() || !sequence.before(*running_.back()); };
  if (preempted && is_last()) return false;  // it would only be preempted in its turn
  std::int32_t prompts = 0;
  std::int32_t prompt_tokens = 0;
  for (const auto& other : running_) {
    if (decodes(*other) || !other->before(sequence)) continue;
    ++prompts;
    prompt_tokens += other->pending();
  }
  if (prompts >= kConcurrentPrompts && prompt_tokens >= budget_) return false;
  while (running() + deferred_ >= config_.max_num_seqs || budget_ <= prompts || !attach(sequence)) {
    if (is_last()) return false;
    preempt_last();
  }
  return true;
}

// Takes up the blocks that are known already and reserves the rest for all of its tokens.
bool Scheduler::attach(Sequence& sequence) {
  std::vector<std::int32_t>& blocks = sequence.blocks;
  if (config_.enable_prefix_caching) {
    pool_.take_known(hashes_of(sequence, sequence.skippable()), blocks);
  }
  const auto known = static_cast<std::int32_t>(blocks.size());
  if (!pool_.reserve(sequence.length(), blocks)) {
    pool_.release(blocks);
    return false;
  }
  sequence.published = known;
  sequence.cached = known * pool_.block_tokens();
  if (sequence.prefix_hit >= 0) return true;
  sequence.prefix_hit = sequence.cached;
  counters_.prompt_tokens += sequence.prompt_tokens;
  const std::int32_t longest = sequence.prompt_tokens + sequence.params.max_tokens;
  sequence.tokens.reserve(static_cast<std::size_t>(longest));
  blocks.reserve(static_cast<std::size_t>(pool_.blocks_for(longest)));
  if (config_.enable_prefix_caching) {
    sequence.hashes.reserve(static_cast<std::size_t>(pool_.blocks_for(longest)));
    counters_.prefix_queries += sequence.prompt_tokens;
    counters_.prefix_hits += sequence.prefix_hit;
  }
  return true;
}

// Whether someone before it is computing the very next block it needs. Never the first in the
// order, and whoever is waited for is in the running set with its blocks: so the wait ends.
bool Scheduler::computed_by_another(Sequence& sequence) {
  if (!config_.enable_prefix_caching) return false;
  const std::span<const BlockHash> hashes = hashes_of(sequence, sequence.skippable());
  std::size_t next = 0;
  while (next < hashes.size() && pool_.knows(hashes[next])) ++next;
  if (next == hashes.size()) return false;
  return std::any_of(running_.begin(), running_.end(), [&](const auto& other) {
    return other->before(sequence) && other->hashes.size() > next &&
           static_cast<std::size_t>(other->published) <= next &&
           other->hashes[next] == hashes[next];
  });
}

// Each prompt but the last gets half of what those before it left, then all get in order what
// remains: the first is never held up much by the others, nor a short one by long ones.
void Scheduler::plan_prompts() {
  std::int32_t prompts = 0;
  for (const auto& sequence : running_) prompts += decodes(*sequence) ? 0 : 1;
  const std::size_t first = plan_.size();
  for (const auto& sequence : running_) {
    if (decodes(*sequence) || budget_ == 0) continue;
    const std::int32_t share = --prompts > 0 ? (budget_ + 1) / 2 : budget_;
    schedule(*sequence, std::min(sequence->pending(), share));
  }
  for (std::size_t i = first; i < plan_.size(); ++i) {
    PlannedSequence& planned = plan_[i];
    const std::int32_t more = std::min(planned.sequence->pending() - planned.num_tokens, budget_);
    planned.num_tokens += more;
    planned.samples = planned.num_tokens == planned.sequence->pending();
    budget_ -= more;
  }
}

// With few sequences a step leaves the arithmetic idle: what is left of the budget goes to drafts.
void Scheduler::plan_drafts() {
  const SpeculationConfig& config = config_.speculation;
  const bool on = config.num_speculative_tokens > 0 && running() <= config.disable_by_batch_size;
  for (const PlannedSequence& planned : plan_) {
    Sequence& sequence = *planned.sequence;
    if (sequence.drafter) sequence.drafter->withdraw();
    if (!on || !planned.samples || planned.num_tokens != 1) continue;
    // The step yields one token besides those of the draft that hold.
    const std::int32_t most = std::min({config.num_speculative_tokens, budget_,
                                        sequence.params.max_tokens - sequence.generated() - 1});
    if (most <= 0) continue;
    if (!sequence.drafter) {
      sequence.drafter =
          std::make_unique<Drafter>(config, sequence.prompt_tokens + sequence.params.max_tokens);
    }
    const auto drafted = static_cast<std::int32_t>(
        sequence.drafter->propose(sequence.tokens, most, running()).size());
    if (pool_.reserve(sequence.length() + drafted, sequence.blocks)) {
      budget_ -= drafted;
    } else {
      sequence.drafter->withdraw();
    }
  }
}

void Scheduler::schedule(Sequence& sequence, std::int32_t num_tokens) {
  const bool first = !std::exchange(sequence.begun, true);
  plan_.push_back({&sequence, num_tokens, num_tokens == sequence.pending(), first});
  budget_ -= num_tokens;
}

// Its tokens stay; what nobody needed the room of is found again by its hash, the rest is computed
// again, to the same bits.
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
  last->published = 0;
  ++last->preemptions;
  ++counters_.preemptions;
  const auto place = std::upper_bound(waiting_.begin(), waiting_.end(), last, comes_before);
  waiting_.insert(place, std::move(last));
}

}  // namespace bitcpm
