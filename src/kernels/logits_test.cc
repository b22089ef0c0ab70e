#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/dtype.h"
#include "kernels/guarded_array.h"
#include "kernels/table.h"
#include "kernels/test_levels.h"

namespace bitcpm::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// A row with everything in it: ties, NaN, minus infinity, and values without any weight.
std::vector<float> draw_row(std::size_t n) {
  std::mt19937 rng(static_cast<unsigned>(n));
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> row(n);
  for (float& v : row) {
    const unsigned kind = rng() % 16;
    v = kind == 0 ? kNan : kind == 1 ? -kInf : kind == 2 ? 1.5f : kind == 3 ? -200.0f : normal(rng);
  }
  return row;
}

struct Scan {
  std::vector<float> maxima;
  float max;
  std::size_t count;
  std::vector<float> weights, sums, sums_above;
  std::vector<LogitsProbe> probes;
  std::vector<std::int32_t> between;
};

Scan scan(const KernelTable& table, const std::vector<float>& row) {
  const std::size_t n = row.size();
  const std::size_t blocks = (n + kLogitsBlock - 1) / kLogitsBlock;
  std::vector<float> maxima(blocks);
  table.logits_maxima(row.data(), n, maxima.data());
  Scan s{maxima,
         *std::max_element(maxima.begin(), maxima.end()),
         table.logits_count(row.data(), n, 1.5f),
         std::vector<float>((n + 15) / 16 * 16),
         std::vector<float>(blocks),
         std::vector<float>(blocks),
         {{2, 0, 0}, {1.5f, 0, 0}, {-1, 0, 0}, {-kInf, 0, 0}},
         std::vector<std::int32_t>(n)};
  table.logits_weights(row.data(), n, s.max, 0.5f, s.weights.data(), s.sums.data());
  table.logits_probe(row.data(), s.weights.data(), n, s.probes.data());
  table.logits_sums(row.data(), s.weights.data(), n, 1.5f, s.sums_above.data());
  s.between.resize(table.logits_gather(row.data(), n, 1.5f, 2.0f, n, s.between.data()));
  return s;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Field by field: between them there is padding.
bool same_probes(const std::vector<LogitsProbe>& a, const std::vector<LogitsProbe>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const LogitsProbe& x, const LogitsProbe& y) {
                      return x.threshold == y.threshold && x.count == y.count && x.mass == y.mass;
                    });
}

// Protects: the definitions, against f64, for rows that end anywhere in a vector or a block; and
// that all levels return the same bits.
TEST(Logits, EveryLevelEqualsTheDefinition) {
  for (const std::size_t n : {1u, 7u, 16u, 1023u, 1024u, 1041u, 5000u}) {
    const std::vector<float> row = draw_row(n);
    const Scan want = scan(testable_tables().front(), row);
    float most = -kInf;
    for (const float v : row) most = v > most ? v : most;
    ASSERT_EQ(want.max, most) << n;
    for (std::size_t b = 0; b < want.maxima.size(); ++b) {
      float largest = -kInf;
      for (std::size_t i = b * kLogitsBlock; i < std::min(n, (b + 1) * kLogitsBlock); ++i) {
        largest = row[i] > largest ? row[i] : largest;
      }
      EXPECT_EQ(want.maxima[b], largest) << n;
    }
    double mass = 0;
    std::vector<std::int32_t> between;
    std::size_t counts[4] = {};
    double masses[4] = {};
    for (std::size_t i = 0; i < n; ++i) {
      const double y = (static_cast<double>(row[i]) - most) * 0.5;
      const double weight = y >= -87 ? std::exp(y) : 0;
      EXPECT_NEAR(want.weights[i], weight, 2e-6 * weight + 1e-30) << i;
      mass += weight;
      for (std::size_t p = 0; p < 4; ++p) {
        if (!(row[i] >= want.probes[p].threshold)) continue;
        ++counts[p];
        masses[p] += weight;
      }
      if (row[i] >= 1.5f && row[i] < 2) between.push_back(static_cast<std::int32_t>(i));
    }
    double sums = 0, sums_above = 0;
    for (const float sum : want.sums) sums += sum;
    for (const float sum : want.sums_above) sums_above += sum;
    EXPECT_NEAR(sums, mass, 1e-5 * mass);
    EXPECT_NEAR(sums_above, masses[1], 1e-5 * mass);
    for (std::size_t p = 0; p < 4; ++p) {
      EXPECT_EQ(want.probes[p].count, counts[p]) << n;
      EXPECT_NEAR(want.probes[p].mass, masses[p], 1e-5 * mass);
    }
    EXPECT_EQ(want.between, between);
    EXPECT_EQ(want.count, counts[1]);
    for (const KernelTable& table : testable_tables()) {
      const Scan got = scan(table, row);
      EXPECT_TRUE(same_bits(got.maxima, want.maxima)) << table.isa << ' ' << n;
      EXPECT_EQ(got.count, want.count) << table.isa << ' ' << n;
      EXPECT_TRUE(same_bits(got.weights, want.weights)) << table.isa << ' ' << n;
      EXPECT_TRUE(same_bits(got.sums, want.sums)) << table.isa << ' ' << n;
      EXPECT_TRUE(same_bits(got.sums_above, want.sums_above)) << table.isa << ' ' << n;
      EXPECT_TRUE(same_probes(got.probes, want.probes)) << table.isa << ' ' << n;
      EXPECT_EQ(got.between, want.between) << table.isa;
    }
  }
}

// Protects: gathering stops where the room ends, and NaN as an upper bound is none.
TEST(Logits, GatherKeepsToItsRoom) {
  std::vector<float> row(100, 1);
  row[3] = kInf;
  for (const KernelTable& table : testable_tables()) {
    std::vector<std::int32_t> ids(8, -1);
    EXPECT_EQ(table.logits_gather(row.data(), row.size(), 1, 2, 7, ids.data()), 7u);
    EXPECT_EQ(ids, (std::vector<std::int32_t>{0, 1, 2, 4, 5, 6, 7, -1}));
    EXPECT_EQ(table.logits_gather(row.data(), row.size(), 2, kNan, 8, ids.data()), 1u);
    EXPECT_EQ(ids[0], 3);
    float largest = 0;
    table.logits_maxima(row.data(), 3, &largest);
    EXPECT_EQ(largest, 1);
    table.logits_maxima(&kNan, 1, &largest);
    EXPECT_EQ(largest, -kInf);
  }
}

// The definition of head_ceiling().
float ceiling_of(const HeadCeiling& of) {
  float most = -kInf;
  for (std::size_t r = 0; r < of.rows; ++r) {
    float bound = 0;
    for (std::size_t term = 0; term < of.terms; ++term) {
      float sum = 0;
      for (std::size_t g = 0; g < of.groups; ++g) {
        const float scale = bf16_to_f32(of.scales[g * kFieldRows + r]);
        sum = std::fmaf(scale, of.norms[term * of.groups + g], sum);
      }
      bound = std::fmaf(of.factors[term][r], sum, bound);
    }
    const float ceiling = of.estimates[r] + bound;
    if (std::isnan(ceiling)) return kInf;
    most = std::max(most, ceiling);
  }
  return most;
}

// Protects: what bounds a panel of logits is the same on every level, for panels that are not full
// too, reads no byte beyond its operands, and is infinity where anything is no number.
TEST(HeadCeiling, EveryIsaEqualsTheDefinition) {
  std::mt19937 rng(4);
  std::normal_distribution<float> normal(0, 3);
  const auto draw = [&](std::size_t n) {
    std::vector<float> values(n);
    for (float& v : values) v = normal(rng);
    return values;
  };
  for (int i = 0; i < 200; ++i) {
    const std::size_t groups = 1 + rng() % 20;
    const std::size_t rows = i % 2 == 0 ? kFieldRows : 1 + rng() % kFieldRows;
    std::vector<std::uint16_t> scales(groups * kFieldRows);
    for (auto& scale : scales) scale = bf16_from_f32(std::abs(normal(rng)));
    std::vector<float> values = draw(rows);
    if (i % 5 == 0) values[rng() % rows] = kNan;
    if (i % 7 == 0) values[rng() % rows] = -kInf;
    GuardedArray<std::uint16_t> guarded_scales(scales);
    GuardedArray<float> norms(draw(2 * groups)), first(draw(kFieldRows)), second(draw(kFieldRows)),
        estimates(values);
    const HeadCeiling of{.scales = guarded_scales.data(),
                         .groups = groups,
                         .norms = norms.data(),
                         .terms = 1 + rng() % 2,
                         .factors = {first.data(), second.data()},
                         .estimates = estimates.data(),
                         .rows = rows};
    const float want = ceiling_of(of);
    for (const KernelTable& table : testable_tables()) {
      EXPECT_EQ(table.head_ceiling(of), want) << table.isa << ", " << rows << " rows";
    }
  }
}

}  // namespace
}  // namespace bitcpm::kernels
