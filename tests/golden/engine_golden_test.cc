#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "golden_data.h"
#include "golden_model.h"
#include "kernels/dispatch.h"
#include "model/loader.h"

namespace bitcpm::golden {
namespace {

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = 64;
  params.logprobs = 3;
  return params;
}

// An engine whose KV cache holds `kv_tokens` positions.
std::unique_ptr<Engine> start_engine(const Model& model, EngineConfig config,
                                     std::size_t kv_tokens) {
  config.kv_cache_bytes = kv_tokens * kv_bytes_per_token(model.kv_shape());
  return Engine::start(model, config).value();
}

EngineConfig roomy() {
  return {.max_model_len = 512, .max_num_seqs = 32, .max_num_batched_tokens = 256};
}

std::vector<std::vector<TokenId>> ids_of(const std::vector<Prompt>& prompts) {
  std::vector<std::vector<TokenId>> ids;
  for (const Prompt& prompt : prompts) ids.push_back(prompt.ids);
  return ids;
}

void expect_same(const std::vector<Completion>& want, const std::vector<Completion>& got,
                 const std::string& what) {
  ASSERT_EQ(want.size(), got.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(difference(want[i], got[i]), "") << what << ", request " << i;
  }
}

// Protects: greedy continuations and their log-probabilities equal the reference's on two levels,
// all thirty prompts running together.
TEST(EngineGolden, GreedyContinuations) {
  const std::vector<Prompt> prompts = load_prompts();
  const auto levels = kernels::runnable_levels(kernels::detect_cpu_features());
  for (const std::string& isa : {levels[levels.size() > 1 ? 1 : 0], levels.back()}) {
    const GoldenModel golden(isa);
    const auto engine = start_engine(golden.model(), roomy(), 8192);
    const auto completions = complete_all(*engine, ids_of(prompts),
                                          std::vector<SamplingParams>(prompts.size(), greedy()));
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(completions[i].tokens, prompts[i].greedy_ids) << "prompt " << i;
      ASSERT_EQ(completions[i].logprobs.size(), prompts[i].greedy_logprobs.size());
      for (std::size_t k = 0; k < completions[i].logprobs.size(); ++k) {
        EXPECT_NEAR(completions[i].logprobs[k].chosen.logprob, prompts[i].greedy_logprobs[k], 2e-3);
        EXPECT_EQ(completions[i].logprobs[k].rank, 1);
      }
    }
  }
}

// Protects: the promise of the house: a request's bits do not depend on load. Mixed sampling runs
// one request at a time, all together, in tiny steps, on other thread counts, and in a cache so
// small that requests preempt each other; every run must equal the first.
TEST(EngineGolden, BitsDoNotDependOnLoad) {
  const std::vector<Prompt> prompts = load_prompts();
  std::vector<SamplingParams> params;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    SamplingParams p = greedy();
    p.max_tokens = 40;
    p.ignore_eos = i % 2 == 0;
    if (i % 3 == 0) p.prompt_logprobs = 2;
    if (i % 2 == 1) {
      p.temperature = 0.9f;
      p.top_p = 0.9f;
      p.seed = i;
      p.repetition_penalty = i % 4 == 1 ? 1.1f : 1.0f;
    }
    params.push_back(p);
  }
  const auto ids = ids_of(prompts);
  const GoldenModel one_thread("auto", 1);
  std::vector<Completion> alone;
  {
    EngineConfig cold = roomy();
    cold.enable_prefix_caching = false;
    const auto engine = start_engine(one_thread.model(), cold, 8192);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      alone.push_back(complete_all(*engine, {ids[i]}, {params[i]})[0]);
    }
  }
  struct Case {
    const char* name;
    int threads;
    EngineConfig config;
    std::size_t kv_tokens;
    bool preempts;
  };
  EngineConfig speculating = roomy();
  speculating.speculation = {.num_speculative_tokens = 5,
                             .prompt_lookup_min = 1,
                             .prompt_lookup_max = 4,
                             .disable_by_batch_size = 64,
                             .gated = false};
  const Case kCases[] = {
      {"together", 2, roomy(), 8192, false},
      {"with speculation", 2, speculating, 8192, false},
      {"steps of 8 tokens", 3, {512, 8, 8}, 8192, false},
      {"a crowded cache", 2, {448, 16, 64}, 480, true},
  };
  for (const Case& c : kCases) {
    const GoldenModel golden("auto", c.threads);
    const auto engine = start_engine(golden.model(), c.config, c.kv_tokens);
    expect_same(alone, complete_all(*engine, ids, params), c.name);
    EXPECT_EQ(engine->stats().preemptions_total > 0, c.preempts) << c.name;
    expect_same(alone, complete_all(*engine, ids, params), c.name + std::string(", cached"));
    const bool speculates = c.config.speculation.num_speculative_tokens > 0;
    EXPECT_EQ(engine->stats().speculation.accepted_tokens > 0, speculates) << c.name;
    EXPECT_EQ(engine->stats().kv_blocks_used, 0) << c.name;
  }
}

// Protects: prompt log-probabilities through the engine are those of the goldens, whole or chunked.
TEST(EngineGolden, PromptLogprobs) {
  const std::vector<Prompt> prompts = load_prompts();
  const GoldenModel golden("auto");
  EngineConfig config = roomy();
  config.max_num_seqs = 4;
  config.max_num_batched_tokens = 7;
  const auto engine = start_engine(golden.model(), config, 4096);
  SamplingParams params = greedy();
  params.max_tokens = 1;
  params.prompt_logprobs = 0;
  const auto completions =
      complete_all(*engine, ids_of(prompts), std::vector<SamplingParams>(prompts.size(), params));
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    ASSERT_EQ(completions[i].prompt_logprobs.size(), prompts[i].ids.size() - 1);
    for (std::size_t k = 1; k < prompts[i].ids.size(); ++k) {
      const auto& scored = completions[i].prompt_logprobs[k - 1];
      EXPECT_EQ(scored.chosen.token, prompts[i].ids[k]);
      EXPECT_NEAR(scored.chosen.logprob, prompts[i].prompt_logprobs[k], 2e-3);
    }
  }
}

// Protects: a cancelled request ends once, as cancelled, and gives its blocks back; a full queue
// and an impossible request are refused without a single event; a dying engine ends everything.
TEST(EngineGolden, LifeAndDeathOfRequests) {
  const GoldenModel golden("auto");
  EngineConfig config = roomy();
  config.max_num_seqs = 1;
  config.max_waiting_requests = 1;
  auto engine = start_engine(golden.model(), config, 1024);
  SamplingParams endless = greedy();
  endless.max_tokens = 400;
  endless.ignore_eos = true;
  std::atomic<int> tokens{0};
  std::atomic<int> cancelled{0};
  const auto sink = [&](EngineEvent&& event) {
    tokens += event.token ? 1 : 0;
    cancelled += event.finish == FinishReason::kCancelled ? 1 : 0;
  };
  const RequestId first = engine->submit({1, 2, 3}, endless, sink).value();
  const RequestId second = engine->submit({1, 2, 3}, endless, sink).value();
  const auto third = engine->submit({1, 2, 3}, endless, sink);
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().code, Errc::kExhausted);
  EXPECT_EQ(engine->submit({}, endless, sink).error().code, Errc::kInvalid);
  engine->cancel(second);
  engine->cancel(999);
  while (cancelled == 0) std::this_thread::yield();
  engine->cancel(first);
  engine->cancel(first);
  while (cancelled < 2) std::this_thread::yield();
  while (engine->stats().kv_blocks_used != 0) std::this_thread::yield();
  (void)engine->submit({1, 2, 3}, endless, sink).value();
  engine.reset();
  EXPECT_EQ(cancelled, 3);
  EXPECT_LT(tokens, 1200);
}

// Protects: limits that contradict each other are refused at start, by name.
TEST(EngineGolden, RefusesBadLimits) {
  const GoldenModel golden("auto");
  const std::size_t token = kv_bytes_per_token(golden.model().kv_shape());
  struct Case {
    EngineConfig config;
    std::size_t kv_tokens;
    const char* reason;
  };
  const Case kCases[] = {
      {{.max_model_len = 2049}, 4096, "max_position_embeddings"},
      {{.max_model_len = 1}, 4096, "max_model_len"},
      {{.max_model_len = 512, .max_num_seqs = 0}, 4096, "max_num_seqs"},
      {{.max_model_len = 512, .max_num_seqs = 8, .max_num_batched_tokens = 7},
       4096,
       "max_num_batched_tokens"},
      {{.max_model_len = 512}, 480, "holds 480 tokens"},
  };
  for (Case c : kCases) {
    c.config.kv_cache_bytes = c.kv_tokens * token;
    const auto engine = Engine::start(golden.model(), c.config);
    ASSERT_FALSE(engine.ok()) << c.reason;
    EXPECT_NE(engine.error().message.find(c.reason), std::string::npos) << engine.error().message;
  }
}

}  // namespace
}  // namespace bitcpm::golden
