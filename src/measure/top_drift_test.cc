#include "measure/top_drift.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "measure/drift.h"
#include "measure/logits_row.h"

namespace bitcpm {
namespace {

// The `count` most likely tokens of a row.
std::vector<TokenLogprob> most_likely(std::span<const float> logits, std::size_t count) {
  std::vector<TokenLogprob> all(logits.size());
  const double lse = log_sum_exp(logits);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = {static_cast<TokenId>(i), logits[i] - lse};
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
  all.resize(count);
  return all;
}

// Protects what eval endpoint reports: with every token returned its figures are DriftMeter's; with
// fewer, the KL is a lower bound that grows with their number, and the tops stay the same.
TEST(TopDrift, IsDriftMeterAsFarAsTheTokensGo) {
  constexpr std::size_t kVocab = 40;
  std::mt19937 rng(7);
  std::normal_distribution<float> spread(0, 2), drift(0, 0.3f);
  std::vector<std::vector<float>> want(50, std::vector<float>(kVocab)), got = want;
  DriftMeter whole;
  for (std::size_t row = 0; row < want.size(); ++row) {
    for (std::size_t i = 0; i < kVocab; ++i) {
      want[row][i] = spread(rng);
      got[row][i] = want[row][i] + drift(rng);
    }
    whole.add(want[row], got[row]);
  }
  double last = 0;
  for (const std::size_t returned : {1, 5, 20, 40}) {
    TopDrift top;
    for (std::size_t row = 0; row < want.size(); ++row) {
      top.add(want[row], most_likely(got[row], returned));
    }
    EXPECT_EQ(top.positions(), want.size());
    EXPECT_GT(top.mean_kl_bound(), last);
    EXPECT_LE(top.mean_kl_bound(), whole.mean_kl() + 1e-6);
    last = top.mean_kl_bound();
    EXPECT_EQ(top.same_top(), whole.same_top());
    if (returned >= 5) {
      EXPECT_DOUBLE_EQ(top.same_top5(), whole.same_top5());
    } else {
      EXPECT_TRUE(std::isnan(top.same_top5()));
    }
  }
  EXPECT_NEAR(last, whole.mean_kl(), 1e-6);
}

// Protects: equal distributions are at distance 0, of whatever shape; unknown spellings and absent
// tokens count as what they are, not as disagreement.
TEST(TopDrift, CountsOnlyWhatIsKnown) {
  const std::vector<float> flat(8, 1.0f);
  const std::vector<float> sharp = {30, 0, 0, 0, 0, 0, 0, 0};
  for (const auto& row : {flat, sharp}) {
    TopDrift top;
    top.add(row, most_likely(row, 5));
    EXPECT_NEAR(top.mean_kl_bound(), 0, 1e-12);
    EXPECT_LT(top.max_abs(), 1e-12);
    EXPECT_EQ(top.same_top(), 1);
  }
  TopDrift top;
  auto entries = most_likely(flat, 5);
  entries[0].token = TokenLogprob::kUnknown;
  top.add(flat, entries);
  top.add(flat, {});
  EXPECT_EQ(top.positions(), 1u);
  EXPECT_EQ(top.top_positions(), 0u);
  EXPECT_EQ(top.top5_positions(), 0u);
  EXPECT_NEAR(top.mean_kl_bound(), 0, 1e-12);
}

}  // namespace
}  // namespace bitcpm
