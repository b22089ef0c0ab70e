#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <numeric>

namespace bitcpm {
namespace {

constexpr TokenId kEos = 2;
constexpr std::int32_t kBlockTokens = 4;

// A request whose prompt has nothing in common with that of any other id.
std::unique_ptr<Sequence> make_sequence(RequestId id, std::int32_t prompt,
                                        std::int32_t max_tokens) {
  SamplingParams params;
  params.max_tokens = max_tokens;
  std::vector<TokenId> tokens(static_cast<std::size_t>(prompt));
  std::iota(tokens.begin(), tokens.end(), static_cast<TokenId>(10000 * id));
  return std::make_unique<Sequence>(id, std::move(tokens), params);
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

// Protects: a prompt that was computed is not computed again, as far as its blocks are full and its
// last token's logits allow; another salt, or none, finds nothing.
TEST(Scheduler, FindsThePrefixUnderItsSaltOnly) {
  struct Case {
    const char* name;
    const char* salt;
    std::optional<std::int32_t> prompt_logprobs;
    bool caching;
    std::int32_t cached;
  };
  const Case kCases[] = {
      {"same salt", "tenant", {}, true, 8},    // of 12: the last token must be computed
      {"another salt", "other", {}, true, 0},  //
      {"no salt", "", {}, true, 0},            //
      {"prompt scores need all", "tenant", 0, true, 0},
      {"switched off", "tenant", {}, false, 0},
  };
  for (const Case& c : kCases) {
    Scheduler scheduler({.max_model_len = 32,
                         .max_num_seqs = 2,
                         .max_num_batched_tokens = 64,
                         .enable_prefix_caching = c.caching},
                        {kEos}, BlockPool(16, kBlockTokens));
    for (RequestId id = 1; id <= 2; ++id) {
      auto sequence = make_sequence(1, 12, 1);
      sequence->id = id;
      sequence->params.cache_salt = id == 1 ? "tenant" : c.salt;
      if (id == 2) sequence->params.prompt_logprobs = c.prompt_logprobs;
      scheduler.add(std::move(sequence));
      const auto outcomes = step(scheduler, 7);
      ASSERT_EQ(outcomes.size(), 1u) << c.name;
      EXPECT_EQ(outcomes[0].cached_tokens, id == 1 ? 0 : c.cached) << c.name;
    }
    EXPECT_EQ(scheduler.counters().prefix_queries, c.caching ? 24 : 0) << c.name;
    EXPECT_EQ(scheduler.counters().prefix_hits, c.cached) << c.name;
  }
}

// Protects: samples of one prompt share its full blocks: the first computes them, the others wait
// that one step and compute only what is left.
TEST(Scheduler, SiblingsShareTheirPrompt) {
  Scheduler scheduler({64, 8, 64}, {kEos}, BlockPool(64, kBlockTokens));
  for (RequestId id = 1; id <= 4; ++id) {
    auto sequence = make_sequence(1, 22, 4);
    sequence->id = id;
    scheduler.add(std::move(sequence));
  }
  ASSERT_EQ(scheduler.plan().size(), 1u);
  (void)scheduler.commit(std::vector<TokenId>{7});
  const StepPlan second = scheduler.plan();
  ASSERT_EQ(second.size(), 4u);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(second[i].num_tokens, 2);
  (void)scheduler.commit(std::vector<TokenId>(4, 7));
  scheduler.check_integrity();
  EXPECT_EQ(scheduler.pool().used(), 5 + 4) << "five shared blocks and a last one each";
}

// Protects: a preempted request finds its own blocks again if nobody needed the room.
TEST(Scheduler, PreemptedRequestFindsItsBlocksAgain) {
  Scheduler scheduler({64, 1, 64}, {kEos}, BlockPool(64, kBlockTokens));
  scheduler.add(make_sequence(1, 40, 20));
  step(scheduler, 7);
  auto urgent = make_sequence(2, 8, 1);
  urgent->params.priority = -1;
  scheduler.add(std::move(urgent));
  const auto outcomes = step(scheduler, 7);
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].request, 2u) << "the only place goes to the more urgent one";
  const StepPlan again = scheduler.plan();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].num_tokens, 1) << "41 tokens, 40 of them in ten blocks";
  EXPECT_EQ(scheduler.counters().preemptions, 1);
  EXPECT_EQ(scheduler.counters().prefix_hits, 0) << "its own blocks are no hit";
}

// Protects: a short prompt gets its first token within three steps while fifty streams decode, even
// behind prompts that take many steps.
TEST(Scheduler, ShortPromptIsReadWithinThreeSteps) {
  for (const int long_prompts : {0, 1, 3}) {
    Scheduler scheduler({8192, 64, 512}, {kEos}, BlockPool(20000, kBlockTokens));
    RequestId id = 1;
    for (; id <= 50; ++id) scheduler.add(make_sequence(id, 8, 1000));
    while (step(scheduler, 7).size() < 50) continue;
    for (int i = 0; i < long_prompts; ++i) scheduler.add(make_sequence(id++, 8000, 10));
    step(scheduler, 7);
    scheduler.add(make_sequence(id, 100, 5));
    int steps = 0;
    for (bool arrived = false; !arrived; ++steps) {
      ASSERT_LT(steps, 3) << long_prompts << " long prompts";
      const auto outcomes = step(scheduler, 7);
      EXPECT_GE(outcomes.size(), 50u);
      for (const Outcome& outcome : outcomes) arrived = arrived || outcome.request == id;
    }
  }
}

}  // namespace
}  // namespace bitcpm
