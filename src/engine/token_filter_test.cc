#include "engine/token_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>

#include "backend/cpu/cpu_backend.h"

namespace bitcpm {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr std::size_t kVocab = 73448;

const LogitsScan& scan() {
  static const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1}).value();
  return backend->logits_scan();
}

enum class Shape { kPeaked, kFlat, kTies, kAllEqual, kMostlyBanned };

std::vector<float> draw_row(Shape shape) {
  std::mt19937 rng(static_cast<unsigned>(shape) + 3);
  std::normal_distribution<float> normal(0, shape == Shape::kPeaked ? 4.0f : 1.0f);
  std::vector<float> row(kVocab);
  for (float& v : row) {
    v = normal(rng);
    if (shape == Shape::kTies) v = std::round(2 * v) / 2;
    if (shape == Shape::kAllEqual) v = -3;
    if (shape == Shape::kMostlyBanned && rng() % 1000 != 0) v = -kInf;
  }
  return row;
}

struct Filters {
  float temperature;
  float min_p;  // 0: off
  std::size_t top_k;
  double top_p;  // 1: off
};

// What the definitions keep, by a full sort in f64; `sure` is what they keep even if every mass is
// off by 1e-5, `possible` what they might.
struct Kept {
  std::vector<bool> sure, possible;
};

Kept definition(const std::vector<float>& row, const Filters& f) {
  std::vector<std::size_t> order(row.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return row[a] > row[b]; });
  const auto weight = [&](std::size_t i) {
    return std::exp((static_cast<double>(row[order[i]]) - row[order[0]]) / f.temperature);
  };
  std::size_t least = 0, most = 0;
  for (; least < row.size() && weight(least) >= f.min_p * (1 + 1e-5) && weight(least) > 0;) ++least;
  for (; most < row.size() && weight(most) >= f.min_p * (1 - 1e-5) && weight(most) > 0;) ++most;
  least = std::max<std::size_t>(least, 1);
  if (f.top_k > 0) {
    least = std::min(least, f.top_k);
    most = std::min(most, f.top_k);
  }
  if (f.top_p < 1) {
    double mass = 0;
    for (std::size_t i = 0; i < most; ++i) mass += weight(i);
    double sum = 0;
    std::size_t first = 0, last = 0;
    for (std::size_t i = 0; i < most; ++i) {
      sum += weight(i);
      if (first == 0 && sum >= (f.top_p - 1e-5) * mass) first = i + 1;
      if (last == 0 && sum >= (f.top_p + 1e-5) * mass) last = i + 1;
    }
    least = std::min(least, first);
    most = last == 0 ? most : last;
  }
  Kept kept{std::vector<bool>(row.size()), std::vector<bool>(row.size())};
  for (std::size_t i = 0; i < most; ++i) {
    kept.possible[order[i]] = true;
    kept.sure[order[i]] = i < least;
  }
  return kept;
}

std::vector<float> maxima_of(const std::vector<float>& row) {
  std::vector<float> maxima(LogitsScan::blocks(row.size()));
  scan().maxima(row, maxima);
  return maxima;
}

// Protects: passes over thresholds keep exactly what a full sort would, on distributions that make
// them narrow a little, a lot or not at all; and a draw never leaves what is kept.
TEST(TokenFilter, KeepsWhatAFullSortWould) {
  const Filters kFilters[] = {{1, 0, 0, 1},       {1, 0, 20, 1},      {1, 0, 3000, 1},
                              {1, 0, 0, 0.9},     {1, 0, 0, 0.3},     {0.5f, 0, 50, 0.8},
                              {2, 0.02f, 0, 1},   {1, 0.1f, 40, 0.9}, {1, 0, 1, 1},
                              {0.01f, 0, 0, 0.9}, {1, 0, kVocab, 1},  {1, 0, 5000, 0.5}};
  TokenFilter filter(scan(), kVocab);
  for (const Shape shape :
       {Shape::kPeaked, Shape::kFlat, Shape::kTies, Shape::kAllEqual, Shape::kMostlyBanned}) {
    const std::vector<float> row = draw_row(shape);
    const float largest = *std::max_element(row.begin(), row.end());
    const std::vector<float> maxima = maxima_of(row);
    for (const Filters& f : kFilters) {
      filter.start(row, maxima, f.temperature);
      if (f.min_p > 0) filter.keep_min_p(f.min_p);
      if (f.top_k > 0) filter.keep_top_k(f.top_k);
      if (f.top_p < 1) filter.keep_top_p(f.top_p);
      std::vector<float> out(kVocab);
      filter.write_kept(out);
      const Kept want = definition(row, f);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < kVocab; ++i) {
        const bool weightless = std::exp((row[i] - largest) / f.temperature) < 1e-37;
        if (weightless) continue;  // never drawn, kept or not
        const bool kept = out[i] > -kInf;
        wrong += (kept && !want.possible[i]) || (!kept && want.sure[i]) ? 1 : 0;
        if (kept) {
          EXPECT_EQ(out[i], row[i] / f.temperature);
        }
      }
      EXPECT_EQ(wrong, 0u) << "shape " << static_cast<int>(shape) << ", top_k " << f.top_k
                           << ", top_p " << f.top_p << ", min_p " << f.min_p;
      for (const double uniform : {0.0, 0.1, 0.5, 0.999, 1 - 0x1p-53}) {
        EXPECT_GT(out[static_cast<std::size_t>(filter.draw(uniform))], -kInf);
      }
    }
  }
}

// Protects: a head that computed only the k largest logits draws the same token as one that
// computed all: what both keep is drawn from in the same order with the same sums.
TEST(TokenFilter, ScreenedRowsDrawTheSame) {
  TokenFilter filter(scan(), kVocab);
  for (const Shape shape : {Shape::kPeaked, Shape::kFlat, Shape::kTies}) {
    const std::vector<float> row = draw_row(shape);
    std::vector<float> sorted = row;
    std::nth_element(sorted.begin(), sorted.begin() + 49, sorted.end(), std::greater<>());
    std::vector<float> screened = row;
    for (float& v : screened) v = v >= sorted[49] ? v : -kInf;
    for (const double top_p : {0.5, 0.9, 0.99}) {
      for (int i = 0; i < 50; ++i) {
        const double uniform = i / 50.0;
        const auto draw = [&](const std::vector<float>& logits) {
          const std::vector<float> maxima = maxima_of(logits);
          filter.start(logits, maxima, 0.7f);
          filter.keep_top_k(50);
          filter.keep_top_p(top_p);
          return filter.draw(uniform);
        };
        EXPECT_EQ(draw(row), draw(screened));
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm
