#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "backend/cpu/cpu_backend.h"

namespace bitcpm {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Sequence sequence_of(const SamplingParams& params, std::vector<TokenId> prompt = {1},
                     const std::vector<TokenId>& output = {}) {
  Sequence sequence(1, std::move(prompt), params);
  sequence.tokens.insert(sequence.tokens.end(), output.begin(), output.end());
  return sequence;
}

const LogitsScan& scan() {
  static const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1}).value();
  return backend->logits_scan();
}

Sampler sampler_of(std::size_t vocab_size, std::vector<TokenId> eos = {},
                   LogprobsMode mode = LogprobsMode::kRawLogprobs) {
  return Sampler(scan(), static_cast<std::int32_t>(vocab_size), std::move(eos), mode);
}

TokenId sample(const std::vector<float>& logits, Sequence sequence, std::vector<TokenId> eos = {}) {
  return sampler_of(logits.size(), std::move(eos)).sample(logits, sequence).token;
}

// Relative frequencies of many draws with different seeds.
std::map<TokenId, double> frequencies(const std::vector<float>& logits, SamplingParams params,
                                      int draws = 20000) {
  Sampler sampler = sampler_of(logits.size());
  std::map<TokenId, double> counts;
  for (int seed = 0; seed < draws; ++seed) {
    params.seed = static_cast<std::uint64_t>(seed);
    Sequence sequence = sequence_of(params);
    counts[sampler.sample(logits, sequence).token] += 1.0 / draws;
  }
  return counts;
}

// Protects: greedy takes the largest logit, the lower id of equals, and survives what is no number.
TEST(Sampler, Greedy) {
  SamplingParams params;
  params.temperature = 0;
  struct Case {
    std::vector<float> logits;
    TokenId want;
  };
  const Case kCases[] = {
      {{0, 3, 1}, 1},      {{2, 5, 5, 5}, 1},       {{kNan, -1, kNan}, 1},
      {{-kInf, -kInf}, 0}, {{kNan, kNan, kNan}, 0}, {{1, kInf, 2}, 1},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(sample(c.logits, sequence_of(params)), c.want);
    SamplingParams hot;  // the same rows must not hurt a draw either
    const TokenId drawn = sample(c.logits, sequence_of(hot));
    EXPECT_GE(drawn, 0);
    EXPECT_LT(drawn, static_cast<TokenId>(c.logits.size()));
  }
}

// Protects: draws follow softmax(logits / temperature). Five standard errors of 20,000 draws.
TEST(Sampler, FollowsTheDistribution) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f};
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit / temperature);
    auto seen = frequencies(logits, params);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double p = std::exp(logits[i] / temperature) / sum;
      EXPECT_NEAR(seen[static_cast<TokenId>(i)], p, 5 * std::sqrt(p * (1 - p) / 20000));
    }
  }
}

// Protects: each filter keeps exactly the tokens its definition names, and renormalises.
TEST(Sampler, FiltersKeepWhatTheyShould) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const std::vector<float> logits = {std::log(4.0f), std::log(2.0f), 0.0f, 0.0f};
  struct Case {
    const char* name;
    std::int32_t top_k;
    float top_p;
    float min_p;
    std::set<TokenId> want;
  };
  const Case kCases[] = {
      {"none", 0, 1, 0, {0, 1, 2, 3}},
      {"top_k 2", 2, 1, 0, {0, 1}},
      {"top_k 3 takes the lower id of equals", 3, 1, 0, {0, 1, 2}},
      {"top_k -1 is off", -1, 1, 0, {0, 1, 2, 3}},
      {"top_k beyond the vocabulary", 100, 1, 0, {0, 1, 2, 3}},
      {"top_p 0.5 is the first alone", 0, 0.5f, 0, {0}},
      {"top_p 0.6 needs the second", 0, 0.6f, 0, {0, 1}},
      {"top_p tiny keeps one", 0, 1e-6f, 0, {0}},
      {"min_p 0.4 of the largest", 0, 1, 0.4f, {0, 1}},
      {"min_p 1", 0, 1, 1.0f, {0}},
      {"top_p after top_k: 0.7 of {0.667, 0.333}", 2, 0.7f, 0, {0, 1}},
      {"top_p after top_k: 0.6 of {0.667, 0.333}", 2, 0.6f, 0, {0}},
  };
  for (const Case& c : kCases) {
    SamplingParams params;
    params.top_k = c.top_k;
    params.top_p = c.top_p;
    params.min_p = c.min_p;
    std::set<TokenId> seen;
    for (const auto& [token, share] : frequencies(logits, params, 2000)) seen.insert(token);
    EXPECT_EQ(seen, c.want) << c.name;
  }
}

// Protects: nucleus search over a large vocabulary equals the definition, whatever prefix sorting
// it does on the way.
TEST(Sampler, TopPOfALargeVocabulary) {
  std::vector<float> logits(20000);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = -0.0005f * static_cast<float>((i * 7919) % logits.size());
  }
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit);
  SamplingParams params;
  params.top_p = 0.5f;
  double mass = 0;
  std::size_t rank = 0;
  while (mass < 0.5 * sum) mass += std::exp(-0.0005 * static_cast<double>(rank++));
  std::size_t worst = 0;
  for (const auto& [token, share] : frequencies(logits, params, 4000)) {
    worst = std::max(worst, (static_cast<std::size_t>(token) * 7919) % logits.size());
  }
  EXPECT_LT(worst, rank);
  EXPECT_GT(worst, rank * 9 / 10);
}

// Protects: the penalties' definitions, over prompt and output, and that they leave no trace.
TEST(Sampler, Penalties) {
  struct Case {
    const char* name;
    float repetition, presence, frequency;
    std::vector<TokenId> prompt, output;
    std::vector<float> logits;
    TokenId want;
  };
  const Case kCases[] = {
      {"repetition divides a positive logit", 2, 0, 0, {0}, {}, {3, 2, 0}, 1},
      {"repetition multiplies a negative logit", 2, 0, 0, {0}, {}, {-2, -3, -9}, 1},
      {"repetition counts once", 2, 0, 0, {0, 0, 0}, {0}, {3, 1.4f, 0}, 0},
      {"presence ignores the prompt", 1, 1.5f, 0, {0}, {}, {3, 2, 0}, 0},
      {"presence sees the output", 1, 1.5f, 0, {0}, {0}, {3, 2, 0}, 1},
      {"presence counts once", 1, 1.5f, 0, {1}, {0, 0, 0}, {3, 1.4f, 0}, 0},
      {"frequency counts each", 1, 0, 0.6f, {1}, {0, 0}, {3, 2, 0}, 1},
      {"negative frequency encourages", 1, 0, -1, {1}, {0, 0}, {1, 2, 0}, 0},
  };
  for (const Case& c : kCases) {
    SamplingParams params;
    params.temperature = 0;
    params.repetition_penalty = c.repetition;
    params.presence_penalty = c.presence;
    params.frequency_penalty = c.frequency;
    Sampler sampler = sampler_of(3);
    Sequence sequence = sequence_of(params, c.prompt, c.output);
    EXPECT_EQ(sampler.sample(c.logits, sequence).token, c.want) << c.name;
    EXPECT_EQ(sampler.sample(c.logits, sequence).token, c.want) << c.name << ", again";
  }
}

// Protects: logit_bias shifts, and min_tokens keeps every stop id out of reach.
TEST(Sampler, BiasAndMinTokens) {
  SamplingParams params;
  params.temperature = 0;
  params.logit_bias = {{0, -100.0f}, {2, 1.5f}};
  EXPECT_EQ(sample({9, 1, 0}, sequence_of(params)), 2);
  SamplingParams least;
  least.temperature = 0;
  least.max_tokens = 9;
  least.min_tokens = 2;
  least.stop_token_ids = {1};
  EXPECT_EQ(sample({5, 4, 3}, sequence_of(least), {0}), 2);
  EXPECT_EQ(sample({5, 4, 3}, sequence_of(least, {1}, {2, 2}), {0}), 0);
  least.ignore_eos = true;  // then the eos is a token like any other
  EXPECT_EQ(sample({5, 4, 3}, sequence_of(least), {0}), 0);
}

// Protects: log-probabilities, ranks and order are those of the raw logits, ties by ascending id.
TEST(Sampler, Scores) {
  Sampler sampler = sampler_of(4);
  const std::vector<float> logits = {1.0f, 3.0f, 3.0f, kNan};
  const double sum = std::exp(1.0) + 2 * std::exp(3.0);
  const TokenLogprobs scored = sampler.score(logits, 2, 3);
  EXPECT_EQ(scored.chosen.token, 2);
  EXPECT_NEAR(scored.chosen.logprob, 3 - std::log(sum), 1e-6);
  EXPECT_EQ(scored.rank, 2);
  ASSERT_EQ(scored.top.size(), 3u);
  EXPECT_EQ(scored.top[0].token, 1);
  EXPECT_EQ(scored.top[1].token, 2);
  EXPECT_EQ(scored.top[2].token, 0);
  EXPECT_NEAR(scored.top[2].logprob, 1 - std::log(sum), 1e-6);
  EXPECT_TRUE(sampler.score(logits, 0, 0).top.empty());
  EXPECT_EQ(sampler.score(logits, 0, 100).top.size(), 4u);
  EXPECT_EQ(sampler.score(logits, 0, -1).top.size(), 4u);
}

// Protects: what each logprobs mode reports of a drawn token, and logprob_token_ids in their order.
TEST(Sampler, LogprobsModes) {
  const std::vector<float> logits = {2, 1, 0,
                                     -1};  // 2 is banned below, then 0 halved: {1, 1, -inf, -1}
  struct Case {
    LogprobsMode mode;
    float temperature;
    std::int32_t top_k;
    std::vector<double> want;  // of tokens 3, 1, 0
  };
  const double raw = std::log(std::exp(2) + std::exp(1) + 1 + std::exp(-1));
  const double greedy = std::log(2 * std::exp(1) + std::exp(-1));
  const double drawn = std::log(2 * std::exp(2));
  const Case kCases[] = {
      {LogprobsMode::kRawLogprobs, 0.5f, 2, {-1 - raw, 1 - raw, 2 - raw}},
      {LogprobsMode::kRawLogits, 0.5f, 2, {-1, 1, 2}},
      {LogprobsMode::kProcessedLogprobs, 0, 2, {-1 - greedy, 1 - greedy, 1 - greedy}},
      {LogprobsMode::kProcessedLogits, 0, 2, {-1, 1, 1}},
      {LogprobsMode::kProcessedLogprobs, 0.5f, 2, {-kInf, 2 - drawn, 2 - drawn}},
      {LogprobsMode::kProcessedLogits, 0.5f, 2, {-kInf, 2, 2}},
  };
  for (const Case& c : kCases) {
    SamplingParams params;
    params.temperature = c.temperature;
    params.top_k = c.top_k;
    params.repetition_penalty = 2;
    params.bad_words = {{2}};
    params.logprob_token_ids = {3, 1, 0};
    Sequence sequence = sequence_of(params, {0});
    const Sampler::Sample drawn_token = sampler_of(4, {}, c.mode).sample(logits, sequence);
    ASSERT_TRUE(drawn_token.logprobs);
    ASSERT_EQ(drawn_token.logprobs->top.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      const TokenLogprobs::Entry& entry = drawn_token.logprobs->top[i];
      EXPECT_EQ(entry.token, params.logprob_token_ids[i]);
      if (std::isinf(c.want[i])) {
        EXPECT_EQ(entry.logprob, -kInf);
      } else {
        EXPECT_NEAR(entry.logprob, c.want[i], 1e-6);
      }
      if (entry.token == drawn_token.token) {
        EXPECT_EQ(entry.logprob, drawn_token.logprobs->chosen.logprob);
      }
    }
  }
}

// Protects: draws are a function of (seed, position) alone, cover [0, 1) evenly and do not repeat.
TEST(Sampler, UniformDraws) {
  EXPECT_EQ(uniform_draw(1, 2), uniform_draw(1, 2));
  std::set<double> values;
  std::vector<int> buckets(10, 0);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    for (std::uint64_t position = 0; position < 100; ++position) {
      const double u = uniform_draw(seed, position);
      ASSERT_GE(u, 0);
      ASSERT_LT(u, 1);
      values.insert(u);
      ++buckets[static_cast<std::size_t>(u * 10)];
    }
  }
  EXPECT_EQ(values.size(), 10000u);
  for (const int count : buckets) EXPECT_NEAR(count, 1000, 150);  // five standard deviations
}

}  // namespace
}  // namespace bitcpm
