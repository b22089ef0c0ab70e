#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "golden_data.h"
#include "golden_model.h"
#include "model/loader.h"

namespace bitcpm::golden {
namespace {

using Clock = std::chrono::steady_clock;

std::unique_ptr<Engine> start_engine(const Model& model, SpeculationConfig speculation) {
  EngineConfig config;
  config.max_model_len = 2048;
  config.kv_cache_bytes = 8192 * kv_bytes_per_token(model.kv_shape());
  config.speculation = speculation;
  return Engine::start(model, config).value();
}

struct Timing {
  double first_token_seconds = 0;
  double decode_seconds = 0;
  std::vector<TokenId> tokens;
};

Timing run(Engine& engine, const std::vector<TokenId>& prompt, std::int32_t max_tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;
  params.max_tokens = max_tokens;
  const Completion completion = complete_all(engine, {prompt}, {params})[0];
  const RequestTimes& times = completion.times;
  const auto seconds = [](auto duration) {
    return std::chrono::duration<double>(duration).count();
  };
  return {seconds(*times.first_token - times.arrival), seconds(times.finished - *times.first_token),
          completion.tokens};
}

// Protects: a cached prefix is worth having: the first token after 1,000 known tokens comes at
// least ten times sooner than after 1,000 new ones.
TEST(EngineSpeed, CachedPrefixAnswersTenTimesSooner) {
  const GoldenModel golden("auto", 2, Numerics::kFast);
  const auto engine = start_engine(golden.model(), {});
  std::mt19937 rng(1);
  double cold = 1e9;
  double cached = 1e9;
  for (int i = 0; i < 5; ++i) {
    std::vector<TokenId> prompt(1000);
    for (TokenId& token : prompt) token = static_cast<TokenId>(10 + rng() % 5000);
    cold = std::min(cold, run(*engine, prompt, 1).first_token_seconds);
    cached = std::min(cached, run(*engine, prompt, 1).first_token_seconds);
  }
  std::printf("first token after 1,000: cold %.2f ms, cached %.2f ms, %.1f times sooner\n",
              1e3 * cold, 1e3 * cached, cold / cached);
  EXPECT_GE(cold / cached, 10);
}

// Protects: prompt lookup pays where text repeats itself and costs next to nothing where it does
// not; the tokens are the same. The bounds are looser than what is reached (printed), since tests
// share the machine; tightest where products of bytes are fast, so that a few tokens cost what one
// does.
TEST(EngineSpeed, PromptLookupPaysOrCostsLittle) {
  const GoldenModel golden("auto", 2, Numerics::kFast);
  const auto plain = start_engine(golden.model(), {});
  const auto guessing =
      start_engine(golden.model(),
                   {.num_speculative_tokens = 4, .prompt_lookup_min = 3, .prompt_lookup_max = 5});
  const std::vector<Prompt> prompts = load_prompts();
  std::vector<TokenId> copied;
  for (int i = 0; i < 8; ++i) {
    copied.insert(copied.end(), prompts[0].ids.begin(), prompts[0].ids.end());
    copied.insert(copied.end(), prompts[0].greedy_ids.begin(), prompts[0].greedy_ids.end());
  }
  struct Case {
    const char* name;
    std::vector<std::vector<TokenId>> prompts;
    double least;
  };
  std::vector<std::vector<TokenId>> open;
  for (std::size_t i = 0; i < 8; ++i) open.push_back(prompts[i].ids);
  const std::string level = golden.model().backend().description();
  const bool is_fast = level.find("avx512") != level.npos || level.find("amx") != level.npos;
  const Case kCases[] = {{"copy-heavy", {copied}, is_fast ? 1.3 : 1.0}, {"open text", open, 0.9}};
  for (const Case& c : kCases) {
    double without = 0;
    double with = 0;
    for (const std::vector<TokenId>& prompt : c.prompts) {
      Timing best_without{0, 1e9, {}};
      Timing best_with{0, 1e9, {}};
      for (int i = 0; i < 6; ++i) {  // other processes only ever slow one down
        const auto keep_best = [](Timing& best, Timing timing) {
          if (timing.decode_seconds < best.decode_seconds) best = std::move(timing);
        };
        keep_best(best_without, run(*plain, prompt, 128));
        keep_best(best_with, run(*guessing, prompt, 128));
      }
      EXPECT_EQ(best_with.tokens, best_without.tokens) << c.name;
      without += best_without.decode_seconds;
      with += best_with.decode_seconds;
    }
    const SpeculationTotals totals = guessing->stats().speculation;
    std::printf("%s: %.2f times as fast with prompt lookup (%lld of %lld guesses held so far)\n",
                c.name, without / with, static_cast<long long>(totals.accepted_tokens),
                static_cast<long long>(totals.draft_tokens));
    EXPECT_GE(without / with, c.least) << c.name;
  }
}

}  // namespace
}  // namespace bitcpm::golden
