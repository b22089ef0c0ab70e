#include "model/drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bitcpm {
namespace {

// Protects: every measure, on two tokens whose figures a pencil gives.
TEST(DriftMeter, MatchesFiguresByHand) {
  const std::vector<float> want = {std::log(3.0f), 0};  // probabilities 3/4, 1/4
  const std::vector<float> got = {0, 0};                // 1/2, 1/2
  DriftMeter meter;
  meter.add(want, got, 1);
  EXPECT_NEAR(meter.mean_kl(), 0.75 * std::log(1.5) + 0.25 * std::log(0.5), 1e-7);
  EXPECT_NEAR(meter.want_ppl(), 4, 1e-6);
  EXPECT_NEAR(meter.got_ppl(), 2, 1e-6);
  EXPECT_NEAR(meter.ppl_change(), -0.5, 1e-6);
  EXPECT_NEAR(meter.mean_square(), std::log(3.0) * std::log(3.0) / 2, 1e-6);
  EXPECT_NEAR(meter.largest(), std::log(3.0), 1e-6);
  EXPECT_NEAR(log_probability(want, 0), std::log(0.75), 1e-7);
}

// Protects: means over positions, the least cosine, and that only known next tokens count.
TEST(DriftMeter, AddsUpPositions) {
  const std::vector<float> a = {1, 2, 3};
  const std::vector<float> b = {3, 2, 1};
  DriftMeter meter;
  meter.add(a, a, 2);
  meter.add(a, b);
  EXPECT_EQ(meter.positions(), 2u);
  EXPECT_DOUBLE_EQ(meter.same_top(), 0.5);
  EXPECT_NEAR(meter.least_cosine(), 10.0 / 14, 1e-12);
  EXPECT_NEAR(meter.mean_cosine(), (1 + 10.0 / 14) / 2, 1e-12);
  EXPECT_DOUBLE_EQ(meter.ppl_change(), 0);
  EXPECT_DOUBLE_EQ(meter.largest(), 2);
}

}  // namespace
}  // namespace bitcpm
