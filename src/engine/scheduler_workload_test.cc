// Random workloads against a model of what the KV cache holds and of what each request must get.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "engine/batch_builder.h"
#include "engine/scheduler.h"

namespace bitcpm {
namespace {

constexpr TokenId kEos = 0;
constexpr std::int32_t kBlockTokens = 4;
constexpr TokenId kAlphabet = 3;  // so few that prompts meet and outputs repeat themselves

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = (a ^ (b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2))) * 0xbf58476d1ce4e5b9u;
  return x ^ (x >> 29);
}

// What a position's keys and values depend on: the tenant and all tokens up to it.
std::uint64_t content_after(std::uint64_t before, TokenId token) {
  return mix(before, static_cast<std::uint64_t>(token) + 1);
}
std::uint64_t content_of(const Sequence& sequence, std::int32_t length) {
  std::uint64_t content = std::hash<std::string>()(sequence.params.cache_salt);
  for (std::int32_t i = 0; i < length; ++i) {
    content = content_after(content, sequence.tokens[static_cast<std::size_t>(i)]);
  }
  return content;
}

// The token after that content: an end now and then, and long repetitions.
TokenId next_token(std::uint64_t content, std::uint64_t seed) {
  const std::uint64_t draw = mix(content, seed);
  return draw % 40 == 0 ? kEos : static_cast<TokenId>(1 + draw % (kAlphabet - 1));
}

struct Expected {
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::kLength;
  std::int32_t priority = 0;
  std::int32_t to_score = 0;  // prompt tokens whose log-probability is wanted
  // What came so far.
  std::size_t got = 0;
  std::int32_t scored = 0;
  int terminal = 0;
};

// What the request gets when it is alone in the world.
Expected alone(const Sequence& request) {
  Expected e;
  Sequence s(request.id, request.tokens, request.params);
  std::uint64_t content = content_of(s, s.length());
  while (s.generated() < s.params.max_tokens) {
    const TokenId token = next_token(content, s.params.seed);
    content = content_after(content, token);
    s.tokens.push_back(token);
    e.tokens.push_back(token);
    if (token != kEos || s.params.ignore_eos) continue;
    e.finish = FinishReason::kStop;
    break;
  }
  e.priority = s.params.priority;
  e.to_score = s.params.prompt_logprobs ? s.prompt_tokens - 1 : 0;
  return e;
}

class Workload {
 public:
  explicit Workload(unsigned seed)
      : rng_(seed),
        config_(random_config()),
        blocks_((config_.max_model_len + kBlockTokens - 1) / kBlockTokens + pick(0, 10)),
        scheduler_(config_, {kEos}, BlockPool(blocks_, kBlockTokens)),
        kv_(static_cast<std::size_t>(blocks_ * kBlockTokens), 0) {
    for (auto& prefix : prefixes_) {
      for (std::int32_t i = pick(0, config_.max_model_len / 2); i > 0; --i) {
        prefix.push_back(pick(1, kAlphabet - 1));
      }
    }
  }

  void run() {
    const int requests = pick(1, 12);
    for (int round = 0; round < 40 || !scheduler_.idle(); ++round) {
      ASSERT_LT(round, 5000) << "no progress";
      if (static_cast<int>(expected_.size()) < requests && pick(0, 2) == 0) add();
      if (pick(0, 15) == 0 && !expected_.empty()) cancel();
      if (pick(0, 60) == 0) scheduler_.reset_prefix_cache();
      scheduler_.check_integrity();
      step();
      scheduler_.check_integrity();
      if (::testing::Test::HasFailure()) return;
    }
    for (const auto& [id, e] : expected_) EXPECT_EQ(e.terminal, 1) << "request " << id;
    EXPECT_EQ(scheduler_.pool().used(), 0);
  }

  const SchedulerCounters& counters() const { return scheduler_.counters(); }

 private:
  std::int32_t pick(std::int32_t least, std::int32_t most) {
    return least + static_cast<std::int32_t>(rng_() % static_cast<unsigned>(most - least + 1));
  }

  SchedulerConfig random_config() {
    SchedulerConfig config;
    config.max_model_len = pick(8, 60);
    config.max_num_seqs = pick(1, 6);
    config.max_num_batched_tokens = config.max_num_seqs + pick(0, 20);
    config.enable_prefix_caching = pick(0, 7) > 0;
    config.hash_key = {rng_(), rng_()};
    if (pick(0, 1) == 0) {
      config.speculation.num_speculative_tokens = pick(1, 5);
      config.speculation.prompt_lookup_min = pick(1, 3);
      config.speculation.prompt_lookup_max = pick(3, 6);
      config.speculation.disable_by_batch_size = pick(0, 6);
      config.speculation.gated = pick(0, 1) == 0;
    }
    return config;
  }

  void add() {
    std::vector<TokenId> prompt = prefixes_[static_cast<std::size_t>(pick(0, 2))];
    for (std::int32_t i = pick(prompt.empty() ? 1 : 0, 8); i > 0; --i) {
      prompt.push_back(pick(1, kAlphabet - 1));
    }
    const auto most = static_cast<std::size_t>(config_.max_model_len - 1);
    if (prompt.size() > most) prompt.resize(most);
    SamplingParams params;
    params.max_tokens = pick(1, config_.max_model_len - static_cast<std::int32_t>(prompt.size()));
    params.ignore_eos = pick(0, 1) == 0;
    params.seed = static_cast<std::uint64_t>(pick(0, 3));
    params.priority = pick(0, 3) == 0 ? pick(-1, 1) : 0;
    params.cache_salt = pick(0, 3) == 0 ? "tenant" : "";
    if (pick(0, 5) == 0) params.prompt_logprobs = 0;
    const RequestId id = expected_.size() + 1;
    auto sequence = std::make_unique<Sequence>(id, std::move(prompt), std::move(params));
    expected_[id] = alone(*sequence);
    scheduler_.add(std::move(sequence));
  }

  void cancel() {
    const auto id = static_cast<RequestId>(pick(1, static_cast<std::int32_t>(expected_.size())));
    const auto outcome = scheduler_.cancel(id);
    EXPECT_EQ(outcome.has_value(), expected_.at(id).terminal == 0);
    if (outcome) record(*outcome);
  }

  // Plays the engine and the model: reads and writes the cache, draws tokens, scores prompts.
  void step() {
    const bool work = !scheduler_.idle();
    const StepPlan& plan = scheduler_.plan();
    EXPECT_EQ(plan.empty(), !work);
    if (plan.empty()) return;
    check_the_first(plan);
    const BatchView view = batch_.build(plan);
    EXPECT_LE(static_cast<std::int32_t>(view.tokens.size()), config_.max_num_batched_tokens);
    ASSERT_EQ(view.sequences.size(), plan.size());
    for (std::size_t i = 0; i < plan.size(); ++i) forward(*plan[i].sequence, view.sequences[i]);
    sampled_.clear();
    for (const LogitsUse& use : batch_.uses()) sample(use);
    for (const Outcome& outcome : scheduler_.commit(sampled_)) record(outcome);
  }

  void sample(const LogitsUse& use) {
    Sequence& sequence = *use.sequence;
    if (use.prompt_index >= 0) {
      EXPECT_EQ(use.prompt_index, ++expected_.at(sequence.id).scored) << "scored once, in order";
      sequence.prompt_scored = use.prompt_index;
      return;
    }
    if (use.drafted == 0) {
      content_ = content_of(sequence, sequence.length());
      holds_ = true;
    } else {
      holds_ =
          holds_ && sampled_.back() == sequence.draft()[static_cast<std::size_t>(use.drafted) - 1];
      if (!holds_) return;
      content_ = content_after(content_, sampled_.back());
    }
    sampled_.push_back(next_token(content_, sequence.params.seed));
  }

  // The bound that the scheduler states follows from this.
  void check_the_first(const StepPlan& plan) {
    const std::pair<const RequestId, Expected>* first = nullptr;
    for (const auto& entry : expected_) {
      if (entry.second.terminal > 0) continue;
      if (first == nullptr || entry.second.priority < first->second.priority) first = &entry;
    }
    ASSERT_NE(first, nullptr);
    const auto planned = std::find_if(plan.begin(), plan.end(), [&](const PlannedSequence& p) {
      return p.sequence->id == first->first;
    });
    ASSERT_NE(planned, plan.end()) << "the first in the order is in every step";
    const std::int32_t least = (config_.max_num_batched_tokens - config_.max_num_seqs + 1 + 1) / 2;
    EXPECT_GE(planned->num_tokens, std::min(planned->sequence->pending(), least));
  }

  void forward(const Sequence& sequence, const SequenceSlice& slice) {
    std::uint64_t content = content_of(sequence, 0);
    const auto slot = [&](std::int32_t position) -> std::uint64_t& {
      const auto block = static_cast<std::size_t>(position / kBlockTokens);
      return kv_[static_cast<std::size_t>(slice.block_ids[block] * kBlockTokens +
                                          position % kBlockTokens)];
    };
    for (std::int32_t p = 0; p < slice.first_position + slice.num_rows; ++p) {
      const auto index = static_cast<std::size_t>(p);
      content = content_after(content, index < sequence.tokens.size()
                                           ? sequence.tokens[index]
                                           : sequence.draft()[index - sequence.tokens.size()]);
      if (p < slice.first_position) {
        EXPECT_EQ(slot(p), content) << "position " << p << " holds another prefix";
        continue;
      }
      EXPECT_EQ(
          scheduler_.pool().holders(slice.block_ids[static_cast<std::size_t>(p / kBlockTokens)]),
          1);
      slot(p) = content;
    }
  }

  void record(const Outcome& outcome) {
    Expected& e = expected_.at(outcome.request);
    EXPECT_EQ(e.terminal, 0) << "an event after the last one";
    if (outcome.token) {
      ASSERT_LT(e.got, e.tokens.size());
      EXPECT_EQ(*outcome.token, e.tokens[e.got++]);
    }
    if (!outcome.finish) return;
    ++e.terminal;
    if (outcome.finish == FinishReason::kCancelled) return;
    EXPECT_EQ(*outcome.finish, e.finish);
    EXPECT_EQ(e.got, e.tokens.size());
    EXPECT_EQ(e.scored, e.to_score);
  }

  std::mt19937 rng_;
  SchedulerConfig config_;
  std::int32_t blocks_;
  Scheduler scheduler_;
  BatchBuilder batch_{config_.max_num_batched_tokens, config_.max_num_seqs};
  std::vector<std::uint64_t> kv_;  // what each slot of the cache holds
  std::vector<TokenId> prefixes_[3];
  std::map<RequestId, Expected> expected_;
  std::vector<TokenId> sampled_;
  std::uint64_t content_ = 0;  // before the token that is drawn next
  bool holds_ = false;         // the draft, so far
};

// Protects: whatever the load, in pools so small that preemption is the rule, every request gets
// exactly the tokens it would get alone and exactly one terminal event; no block is read that holds
// something else, written while shared, or lost; the first in the order is in every step; the
// invariants hold before and after each.
TEST(SchedulerWorkload, TenThousandRandomOnes) {
  SchedulerCounters total;
  for (unsigned seed = 0; seed < 10000; ++seed) {
    Workload workload(seed);
    workload.run();
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
    total.preemptions += workload.counters().preemptions;
    total.prefix_hits += workload.counters().prefix_hits;
    total.speculation.draft_tokens += workload.counters().speculation.draft_tokens;
    total.speculation.accepted_tokens += workload.counters().speculation.accepted_tokens;
  }
  EXPECT_GT(total.preemptions, 9000);  // or the workloads would prove little
  EXPECT_GT(total.prefix_hits, 100000);
  EXPECT_GT(total.speculation.accepted_tokens, 10000);
  EXPECT_GT(total.speculation.draft_tokens, total.speculation.accepted_tokens + 10000);
}

}  // namespace
}  // namespace bitcpm
