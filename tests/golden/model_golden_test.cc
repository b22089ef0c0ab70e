#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "golden_data.h"
#include "golden_model.h"
#include "kernels/dispatch.h"
#include "measure/drift.h"

namespace bitcpm::golden {
namespace {

// The tolerance everything here is held to; what is reached is about three times better.
constexpr double kTolerance = 2e-3;

class EveryLevel : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(
    Isa, EveryLevel, ::testing::ValuesIn(kernels::runnable_levels(kernels::detect_cpu_features())),
    [](const auto& info) { return info.param; });

// Protects: the log-probability of every prompt token, on every CPU level.
TEST_P(EveryLevel, PromptLogprobs) {
  const GoldenModel golden(GetParam());
  double worst = 0;
  for (const Prompt& prompt : load_prompts()) {
    const std::vector<float> logits = golden.logits(prompt.ids);
    const std::size_t vocab = logits.size() / prompt.ids.size();
    for (std::size_t i = 1; i < prompt.ids.size(); ++i) {
      const double got =
          log_probability(std::span(logits).subspan((i - 1) * vocab, vocab), prompt.ids[i]);
      worst = std::max(worst, std::abs(got - prompt.prompt_logprobs[i]));
    }
  }
  EXPECT_LE(worst, kTolerance);
  RecordProperty("largest_difference", std::to_string(worst));
  std::printf("%s: largest prompt logprob difference %.2e\n", GetParam().c_str(), worst);
}

// Protects: all logits of three prompts, on every CPU level.
TEST_P(EveryLevel, FullLogits) {
  const GoldenModel golden(GetParam());
  const std::vector<Prompt> prompts = load_prompts();
  for (const int id : {3, 14, 25}) {
    const Matrix want =
        load_matrix("logits/" + std::string(id < 10 ? "0" : "") + std::to_string(id) + ".npy");
    const std::vector<float> got = golden.logits(prompts[static_cast<std::size_t>(id)].ids);
    ASSERT_EQ(got.size(), want.values.size());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      worst = std::max(worst, static_cast<double>(std::abs(got[i] - want.values[i])));
    }
    EXPECT_LE(worst, kTolerance) << id;
    std::printf("%s: prompt %d: largest logit difference %.2e\n", GetParam().c_str(), id, worst);
  }
}

// Protects: the residual stream after every layer, so that a wrong layer is found by name.
// Tolerance: each stage adds two branches, each a chain of four products over at most 768 terms and
// a softmax; with unit roundoff u = 2^-24 and errors that add like sqrt(terms), one layer costs
// about 4 sqrt(768) u = 7e-6 of the stream's size, and both sides make such errors. Activations of
// 16 bits are off by 2^-16 of the largest of 64 at most, two times less on average, in a branch
// that is a fraction of the stream: as much again.
TEST_P(EveryLevel, HiddenStates) {
  const char* const kStages[] = {"00_embedding", "01_layer0",    "02_layer1", "03_layer2",
                                 "04_layer3",    "05_layer4",    "06_layer5", "07_layer6",
                                 "08_layer7",    "09_final_norm"};
  const GoldenModel golden(GetParam());
  const std::vector<Prompt> prompts = load_prompts();
  const auto stages = golden.hidden_states(prompts[12].ids);
  ASSERT_EQ(stages.size(), std::size(kStages));
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const Matrix want = load_matrix("hidden_states/12_" + std::string(kStages[s]) + ".npy");
    ASSERT_EQ(stages[s].size(), want.values.size());
    // The goldens' last stage stands before the division by hidden_size / dim_model_base.
    const float factor = s + 1 == stages.size() ? golden.model().config().logit_divisor : 1.0f;
    double worst = 0;
    double size = 0;
    for (std::size_t i = 0; i < want.values.size(); ++i) {
      worst =
          std::max(worst, static_cast<double>(std::abs(factor * stages[s][i] - want.values[i])));
      size = std::max(size, static_cast<double>(std::abs(want.values[i])));
    }
    EXPECT_LE(worst, 3 * 7e-6 * static_cast<double>(s) * size) << kStages[s];
  }
}

// Protects: neither the chunks of a prefill nor the number of threads show in a single bit.
TEST(Invariance, ChunksAndThreads) {
  const std::vector<Prompt> prompts = load_prompts();
  std::vector<TokenId> ids;
  for (const Prompt& prompt : prompts) ids.insert(ids.end(), prompt.ids.begin(), prompt.ids.end());
  ids.resize(200);
  const std::vector<float> want = GoldenModel("auto", 1).logits(ids);
  for (const int threads : {1, 2, 5}) {
    const GoldenModel golden("auto", threads);
    for (const int chunk : {1, 3, 16, 31, 64, 200}) {
      const std::vector<float> got = golden.logits(ids, chunk);
      EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0)
          << threads << " threads, chunks of " << chunk;
    }
  }
}

}  // namespace
}  // namespace bitcpm::golden
