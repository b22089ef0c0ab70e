#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace bitcpm {
namespace {

bool contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

Outcome outcome_of(const Sequence& sequence) {
  return {.request = sequence.id,
          .cached_tokens = std::max(sequence.prefix_hit, 0),
          .preemptions = sequence.preemptions};
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config, std::vector<TokenId> eos_token_ids,
                     BlockPool pool)
    : config_(config),
      eos_token_ids_(std::move(eos_token_ids)),
      pool_(std::move(pool)),
      hasher_(config.hash_key) {
  BITCPM_CHECK(config_.max_num_seqs > 0 && config_.max_model_len > 0);
  BITCPM_CHECK(config_.max_num_batched_tokens >= config_.max_num_seqs);
  BITCPM_CHECK(pool_.blocks_for(config_.max_model_len) <= pool_.total());
  const auto seqs = static_cast<std::size_t>(config_.max_num_seqs);
  running_.reserve(seqs);
  plan_.reserve(seqs);
  const SpeculationConfig& speculation = config_.speculation;
  const auto drafting = std::min(config_.max_num_seqs, speculation.disable_by_batch_size);
  outcomes_.reserve(
      seqs + static_cast<std::size_t>(std::max(0, drafting * speculation.num_speculative_tokens)));
  finished_.reserve(seqs);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  BITCPM_CHECK(sequence->prompt_tokens > 0 && sequence->params.max_tokens > 0);
  BITCPM_CHECK(sequence->prompt_tokens + sequence->params.max_tokens <= config_.max_model_len);
  sequence->arrival = next_arrival_++;
  const auto place = std::upper_bound(waiting_.begin(), waiting_.end(), sequence,
                                      [](const auto& a, const auto& b) { return a->before(*b); });
  waiting_.insert(place, std::move(sequence));
}

std::optional<Outcome> Scheduler::cancel(RequestId request) {
  const auto remove_from = [&](auto& queue) -> std::optional<Outcome> {
    const auto found = std::find_if(queue.begin(), queue.end(),
                                    [&](const auto& sequence) { return sequence->id == request; });
    if (found == queue.end()) return std::nullopt;
    Outcome outcome = outcome_of(**found);
    outcome.finish = FinishReason::kCancelled;
    pool_.release((*found)->blocks);
    queue.erase(found);
    return outcome;
  };
  const std::optional<Outcome> outcome = remove_from(running_);
  return outcome ? outcome : remove_from(waiting_);
}

std::span<const Outcome> Scheduler::commit(std::span<const TokenId> sampled) {
  outcomes_.clear();
  std::size_t next = 0;
  for (const PlannedSequence& planned : plan_) {
    planned.sequence->cached += planned.num_tokens;
    if (planned.samples) next += accept_tokens(planned, sampled.subspan(next));
    publish_full_blocks(*planned.sequence);
  }
  BITCPM_CHECK(next == sampled.size());
  plan_.clear();
  remove_finished();
  return outcomes_;
}

// Books what was sampled for one entry, up to the end of its request; returns how many of the
// tokens are its own.
std::size_t Scheduler::accept_tokens(const PlannedSequence& planned,
                                     std::span<const TokenId> sampled) {
  Sequence& sequence = *planned.sequence;
  const std::span<const TokenId> draft = planned.draft();
  std::size_t held = 0;
  bool ended = false;
  while (true) {
    BITCPM_CHECK(held < sampled.size());
    const TokenId token = sampled[held];
    if (!ended) ended = accept_token(sequence, token);
    if (held == draft.size() || token != draft[held]) break;
    ++held;
  }
  if (ended) finished_.push_back(&sequence);
  if (!draft.empty()) {
    const auto accepted = static_cast<std::int32_t>(held);
    counters_.speculation.count(static_cast<std::int32_t>(draft.size()), accepted);
    sequence.drafter->observe(accepted);
    sequence.cached = std::min(sequence.cached + accepted, sequence.length());
  }
  return held + 1;
}

// True if it was the last one.
bool Scheduler::accept_token(Sequence& sequence, TokenId token) {
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
  outcomes_.push_back(outcome);
  return outcome.finish.has_value();
}

void Scheduler::remove_finished() {
  if (finished_.empty()) return;
  for (Sequence* sequence : finished_) pool_.release(sequence->blocks);
  std::erase_if(running_, [&](const std::unique_ptr<Sequence>& s) {
    return std::find(finished_.begin(), finished_.end(), s.get()) != finished_.end();
  });
  finished_.clear();
}

// The names of the full blocks among the first `tokens` tokens, made on demand and kept.
std::span<const BlockHash> Scheduler::hashes_of(Sequence& sequence, std::int32_t tokens) const {
  const auto block = static_cast<std::size_t>(pool_.block_tokens());
  const std::size_t count = static_cast<std::size_t>(tokens) / block;
  std::vector<BlockHash>& hashes = sequence.hashes;
  while (hashes.size() < count) {
    const BlockHash parent =
        hashes.empty() ? hasher_.root(sequence.params.cache_salt) : hashes.back();
    hashes.push_back(
        hasher_.next(parent, std::span(sequence.tokens).subspan(hashes.size() * block, block)));
  }
  return std::span(hashes).first(count);
}

void Scheduler::publish_full_blocks(Sequence& sequence) {
  if (!config_.enable_prefix_caching) return;
  const std::span<const BlockHash> hashes = hashes_of(sequence, sequence.cached);
  for (auto i = static_cast<std::size_t>(sequence.published); i < hashes.size(); ++i) {
    sequence.blocks[i] = pool_.publish(sequence.blocks[i], hashes[i]);
  }
  sequence.published = static_cast<std::int32_t>(hashes.size());
}

void Scheduler::reset_prefix_cache() { pool_.forget_all(); }

std::vector<RequestId> Scheduler::requests() const {
  std::vector<RequestId> ids;
  for (const auto& sequence : running_) ids.push_back(sequence->id);
  for (const auto& sequence : waiting_) ids.push_back(sequence->id);
  return ids;
}

void Scheduler::check_integrity() const {
  pool_.check_integrity();
  std::vector<std::int32_t> holders(static_cast<std::size_t>(pool_.total()), 0);
  for (std::size_t i = 0; i < running_.size(); ++i) {
    const Sequence& s = *running_[i];
    BITCPM_CHECK(i == 0 || running_[i - 1]->before(s));
    BITCPM_CHECK(s.pending() >= 1 && s.cached >= 0 && s.length() <= config_.max_model_len);
    BITCPM_CHECK(s.generated() < s.params.max_tokens);
    BITCPM_CHECK(static_cast<std::int32_t>(s.blocks.size()) >= pool_.blocks_for(s.cached));
    BITCPM_CHECK(s.published * pool_.block_tokens() <= s.cached);
    for (const std::int32_t block : s.blocks) ++holders[static_cast<std::size_t>(block)];
    // What is still going to be written belongs to this sequence alone.
    for (auto b = static_cast<std::size_t>(s.cached / pool_.block_tokens()); b < s.blocks.size();
         ++b) {
      BITCPM_CHECK(pool_.holders(s.blocks[b]) == 1);
    }
  }
  for (std::int32_t block = 0; block < pool_.total(); ++block) {
    BITCPM_CHECK(holders[static_cast<std::size_t>(block)] == pool_.holders(block));
  }
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    BITCPM_CHECK(waiting_[i]->blocks.empty() && waiting_[i]->cached == 0);
    BITCPM_CHECK(i == 0 || waiting_[i - 1]->before(*waiting_[i]));
  }
  BITCPM_CHECK(running() <= config_.max_num_seqs);
}

}  // namespace bitcpm
