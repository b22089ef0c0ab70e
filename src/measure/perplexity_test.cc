#include "measure/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bitcpm {
namespace {

// Protects: both weightings, by hand.
TEST(Perplexity, WeighsByPredictionsAndByTokens) {
  const std::vector<WindowLoss> losses = {{3, 2, 2 * std::log(4.0)}, {5, 4, 4 * std::log(2.0)}};
  const Perplexity ppl = perplexity_of(losses);
  EXPECT_EQ(ppl.windows, 2u);
  EXPECT_EQ(ppl.tokens, 8u);
  EXPECT_EQ(ppl.predictions, 6u);
  EXPECT_NEAR(ppl.by_predictions, std::exp((2 * std::log(4) + 4 * std::log(2)) / 6), 1e-12);
  EXPECT_NEAR(ppl.by_tokens, std::exp((3 * std::log(4) + 5 * std::log(2)) / 8), 1e-12);
}

// Protects: the interval holds the estimate, is about as wide as theory has it for many alike
// windows, has no width for one, and is the same at every call.
TEST(Perplexity, IntervalsAreThoseOfTheBootstrap) {
  std::vector<WindowLoss> losses;
  for (int i = 0; i < 400; ++i) losses.push_back({11, 10, 10.0 * (i % 2 == 0 ? 1 : 3)});
  const Perplexity ppl = perplexity_of(losses);
  const double half = 1.96 / std::sqrt(400.0);  // the mean loss is 2, its deviation 1
  EXPECT_NEAR(std::log(ppl.by_predictions_interval.low), 2 - half, 0.15 * half);
  EXPECT_NEAR(std::log(ppl.by_predictions_interval.high), 2 + half, 0.15 * half);
  EXPECT_EQ(perplexity_of(losses).by_tokens_interval.low, ppl.by_tokens_interval.low);
  const Perplexity one = perplexity_of(std::vector<WindowLoss>{{3, 2, 1}});
  EXPECT_EQ(one.by_predictions_interval.low, one.by_predictions_interval.high);
}

// Protects: what both sides find hard cancels in the change.
TEST(PerplexityChange, IsPaired) {
  std::vector<WindowLoss> want, got;
  for (int i = 1; i <= 50; ++i) {
    want.push_back({11, 10, 10.0 * i});
    got.push_back({11, 10, 10.0 * i + 0.1});
  }
  const PerplexityChange change = perplexity_change(want, got);
  EXPECT_NEAR(change.change, std::expm1(0.01), 1e-9);
  EXPECT_NEAR(change.interval.low, change.change, 1e-9);
  EXPECT_NEAR(change.interval.high, change.change, 1e-9);
}

}  // namespace
}  // namespace bitcpm
