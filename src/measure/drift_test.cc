#include "measure/drift.h"

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
  meter.add(want, got);
  EXPECT_NEAR(meter.mean_kl(), 0.75 * std::log(1.5) + 0.25 * std::log(0.5), 1e-7);
  EXPECT_NEAR(meter.mean_square(), std::log(3.0) * std::log(3.0) / 2, 1e-6);
  EXPECT_NEAR(meter.largest(), std::log(3.0), 1e-6);
  EXPECT_NEAR(log_probability(want, 0), std::log(0.75), 1e-7);
}

// Protects: means over positions, and the least cosine.
TEST(DriftMeter, AddsUpPositions) {
  const std::vector<float> a = {1, 2, 3};
  const std::vector<float> b = {3, 2, 1};
  DriftMeter meter;
  meter.add(a, a);
  meter.add(a, b);
  EXPECT_EQ(meter.positions(), 2u);
  EXPECT_DOUBLE_EQ(meter.same_top(), 0.5);
  EXPECT_NEAR(meter.least_cosine(), 10.0 / 14, 1e-12);
  EXPECT_NEAR(meter.mean_cosine(), (1 + 10.0 / 14) / 2, 1e-12);
  EXPECT_DOUBLE_EQ(meter.largest(), 2);
  EXPECT_NEAR(meter.kls()[0], 0, 1e-15);
}

// Protects: the five most likely tokens are found wherever they stand, ties by ascending id, and a
// vector of zeros is no division by zero.
TEST(DriftMeter, CountsTheCommonTopFive) {
  struct Case {
    const char* name;
    std::vector<float> want, got;
    double top5, top1;
  };
  const Case kCases[] = {
      {"the same in another order", {9, 8, 7, 6, 5, 0, 0}, {5, 6, 7, 8, 9, 0, 0}, 1, 0},
      {"two of five", {0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, 0.4, 0},
      {"ties go to the first ids", {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 0}, 1, 1},
      {"fewer than five", {1, 2, 3}, {3, 2, 1}, 1, 0},
      {"zeros", {0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, 1, 1},
  };
  for (const Case& c : kCases) {
    DriftMeter meter;
    meter.add(c.want, c.got);
    EXPECT_DOUBLE_EQ(meter.same_top5(), c.top5) << c.name;
    EXPECT_DOUBLE_EQ(meter.same_top(), c.top1) << c.name;
    EXPECT_TRUE(std::isfinite(meter.mean_cosine())) << c.name;
  }
}

}  // namespace
}  // namespace bitcpm
