#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace bitcpm {
namespace {

constexpr TokenId kEos = 2;
constexpr std::int32_t kBlockTokens = 4;

std::unique_ptr<Sequence> make_sequence(RequestId id, std::int32_t prompt,
                                        std::int32_t max_tokens) {
  SamplingParams params;
  params.max_tokens = max_tokens;
  return std::make_unique<Sequence>(id, std::vector<TokenId>(static_cast<std::size_t>(prompt), 7),
                                    params);
}

// Plays the model: every entry that samples gets `token`.
std::vector<Outcome> step(Scheduler& scheduler, TokenId token) {
  std::size_t samples = 0;
  for (const PlannedSequence& planned : scheduler.plan()) samples += planned.samples ? 1 : 0;
  const auto outcomes = scheduler.commit(std::vector<TokenId>(samples, token));
  return {outcomes.begin(), outcomes.end()};
}

// Protects: what ends a request, and with which reason.
TEST(Scheduler, FinishesForTheRightReason) {
  struct Case {
    const char* name;
    TokenId token;
    bool ignore_eos;
    std::int32_t min_tokens;
    std::vector<TokenId> stop_token_ids;
    std::int32_t steps;  // until the end
    FinishReason finish;
  };
  const Case kCases[] = {
      {"length", 7, false, 0, {}, 5, FinishReason::kLength},
      {"eos", kEos, false, 0, {}, 1, FinishReason::kStop},
      {"eos ignored", kEos, true, 0, {}, 5, FinishReason::kLength},
      {"stop id", 9, false, 0, {8, 9}, 1, FinishReason::kStop},
      {"stop id despite ignore_eos", 9, true, 0, {9}, 1, FinishReason::kStop},
      {"min_tokens holds a stop back", kEos, false, 3, {}, 3, FinishReason::kStop},
  };
  for (const Case& c : kCases) {
    Scheduler scheduler({16, 2, 16}, {kEos}, BlockPool(4, kBlockTokens));
    auto sequence = make_sequence(1, 3, 5);
    sequence->params.ignore_eos = c.ignore_eos;
    sequence->params.min_tokens = c.min_tokens;
    sequence->params.stop_token_ids = c.stop_token_ids;
    scheduler.add(std::move(sequence));
    for (std::int32_t i = 1; i <= c.steps; ++i) {
      const auto outcomes = step(scheduler, c.token);
      ASSERT_EQ(outcomes.size(), 1u) << c.name;
      EXPECT_EQ(outcomes[0].finish.has_value(), i == c.steps) << c.name;
      if (i == c.steps) {
        EXPECT_EQ(outcomes[0].finish, c.finish) << c.name;
      }
    }
    EXPECT_TRUE(scheduler.idle()) << c.name;
    EXPECT_EQ(scheduler.pool().used(), 0) << c.name;
  }
}

// Protects: a long prompt is read in chunks and never keeps a running request from its next token.
TEST(Scheduler, LongPromptDoesNotDelayDecoding) {
  Scheduler scheduler({256, 4, 16}, {kEos}, BlockPool(128, kBlockTokens));
  scheduler.add(make_sequence(1, 4, 50));
  EXPECT_EQ(step(scheduler, 7).size(), 1u);
  scheduler.add(make_sequence(2, 100, 5));
  int steps_until_second = 0;
  for (bool second = false; !second; ++steps_until_second) {
    const auto outcomes = step(scheduler, 7);
    ASSERT_GE(outcomes.size(), 1u);
    EXPECT_EQ(outcomes[0].request, 1u);
    second = outcomes.size() == 2;
    scheduler.check_integrity();
  }
  EXPECT_EQ(steps_until_second, 7);  // 100 tokens, 15 a step beside the other's one
}

// Protects: first come, first served, even when a later, smaller request would fit.
TEST(Scheduler, NobodyOvertakes) {
  Scheduler scheduler({32, 8, 64}, {kEos}, BlockPool(8, kBlockTokens));
  scheduler.add(make_sequence(1, 20, 4));
  step(scheduler, 7);
  scheduler.add(make_sequence(2, 28, 2));  // does not fit beside the first
  scheduler.add(make_sequence(3, 1, 1));   // would
  EXPECT_EQ(step(scheduler, 7).size(), 1u);
  EXPECT_EQ(scheduler.waiting(), 2);
}

// Protects: the most urgent goes first, whoever came first among equals; the least urgent gives
// way.
TEST(Scheduler, ServesByPriority) {
  Scheduler scheduler({16, 1, 16}, {kEos}, BlockPool(4, kBlockTokens));
  const std::int32_t kPriorities[] = {0, 5, -1, 0, -1};
  for (RequestId id = 0; id < 5; ++id) {
    auto sequence = make_sequence(id, 3, 2);
    sequence->params.priority = kPriorities[id];
    scheduler.add(std::move(sequence));
  }
  std::vector<RequestId> finished;
  while (!scheduler.idle()) {
    for (const Outcome& outcome : step(scheduler, 7)) {
      if (outcome.finish) finished.push_back(outcome.request);
    }
  }
  EXPECT_EQ(finished, (std::vector<RequestId>{2, 4, 0, 3, 1}));
}

// Protects, over random workloads in pools so small that preemption is the rule: every request gets
// exactly one terminal outcome and exactly its tokens in order; no block leaks; no step is empty
// while there is work; the invariants hold after each step.
TEST(Scheduler, RandomWorkloads) {
  std::int64_t preemptions = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](std::int32_t least, std::int32_t most) {
      return least + static_cast<std::int32_t>(rng() % static_cast<unsigned>(most - least + 1));
    };
    const std::int32_t max_model_len = pick(8, 60);
    const std::int32_t seqs = pick(1, 6);
    const std::int32_t blocks = (max_model_len + kBlockTokens - 1) / kBlockTokens + pick(0, 6);
    Scheduler scheduler({max_model_len, seqs, seqs + pick(0, 20)}, {kEos},
                        BlockPool(blocks, kBlockTokens));
    struct Expected {
      std::int32_t max_tokens;
      std::int32_t tokens = 0;
      int terminal = 0;
    };
    std::map<RequestId, Expected> requests;
    const auto record = [&](const Outcome& outcome) {
      Expected& e = requests.at(outcome.request);
      EXPECT_EQ(e.terminal, 0) << "an event after the last one";
      e.tokens += outcome.token ? 1 : 0;
      e.terminal += outcome.finish ? 1 : 0;
      if (outcome.finish == FinishReason::kLength) {
        EXPECT_EQ(e.tokens, e.max_tokens);
      }
    };
    RequestId next_id = 1;
    for (int round = 0; round < 200 || !scheduler.idle(); ++round) {
      ASSERT_LT(round, 20000) << "no progress, seed " << seed;
      if (round < 200 && pick(0, 3) == 0) {
        const std::int32_t prompt = pick(1, max_model_len - 1);
        const std::int32_t max_tokens = pick(1, max_model_len - prompt);
        requests[next_id] = {max_tokens};
        scheduler.add(make_sequence(next_id++, prompt, max_tokens));
      }
      if (pick(0, 20) == 0 && next_id > 1) {
        if (const auto outcome =
                scheduler.cancel(static_cast<RequestId>(pick(1, static_cast<int>(next_id))))) {
          record(*outcome);
        }
      }
      scheduler.check_integrity();
      const bool work = !scheduler.idle();
      const StepPlan plan = scheduler.plan();
      EXPECT_EQ(plan.empty(), !work);
      std::vector<TokenId> sampled;
      for (const PlannedSequence& planned : plan) {
        EXPECT_GE(planned.num_tokens, 1);
        if (planned.samples) sampled.push_back(pick(0, 30) == 0 ? kEos : 7);
      }
      for (const Outcome& outcome : scheduler.commit(sampled)) record(outcome);
      scheduler.check_integrity();
    }
    for (const auto& [id, e] : requests) EXPECT_EQ(e.terminal, 1) << "request " << id;
    EXPECT_EQ(scheduler.pool().used(), 0);
    preemptions += scheduler.preemptions();
  }
  EXPECT_GT(preemptions, 1000);  // or the workloads would prove little
}

}  // namespace
}  // namespace bitcpm
