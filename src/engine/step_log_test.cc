#include "engine/step_log.h"

#include <gtest/gtest.h>

#include <numeric>

namespace bitcpm {
namespace {

// Protects: every step is in the bucket that Prometheus would put it into, and in exactly one.
TEST(StepTotals, CountsEachStepInItsBucket) {
  struct Case {
    std::int32_t tokens;
    std::size_t bucket;
  };
  const Case kCases[] = {{1, 0}, {2, 1}, {8, 1}, {9, 2}, {512, 7}, {513, 8}, {65536, 13}};
  for (const Case& c : kCases) {
    StepTotals totals;
    totals.count(c.tokens);
    EXPECT_EQ(totals.steps, 1);
    EXPECT_EQ(totals.tokens, c.tokens);
    EXPECT_EQ(totals.steps_by_tokens[c.bucket], 1) << c.tokens;
    EXPECT_EQ(std::accumulate(totals.steps_by_tokens.begin(), totals.steps_by_tokens.end(), 0), 1);
  }
}

// Protects: the shares of a step leave no time out and count none twice.
TEST(Stopwatch, LapsAddUpToTheWhole) {
  const auto begin = std::chrono::steady_clock::now();
  Stopwatch watch;
  double first = 0;
  double second = 0;
  for (int i = 0; i < 100; ++i) {
    watch.lap(first);
    watch.lap(second);
  }
  const double whole =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_GT(first, 0);
  EXPECT_GT(second, 0);
  EXPECT_LE(first + second, whole);
}

}  // namespace
}  // namespace bitcpm
