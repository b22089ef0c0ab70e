#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/guarded_array.h"
#include "kernels/table.h"
#include "kernels/test_levels.h"

namespace bitcpm::kernels {
namespace {

// Groups of values that are hard to quantise: ties of the largest element, outliers, denormals,
// infinities, NaN wherever in a quad and among the quads.
enum Hard : std::size_t {
  kZero,
  kTies,
  kOneOutlier,
  kLastOutlier,
  kTwins,
  kTiny,
  kHuge,
  kInfinite,
  kLone,
  kHalves,
  kManyOutliers,
  kVast,
  kNans,
  kNanFirst,
  kNanAfterInfinity,
  kNanBeforeSmall,
  kNanLast,
  kOrdinary,
  kHardGroups
};

std::vector<float> hard_values(std::size_t size) {
  std::mt19937 rng(13);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(kHardGroups * size);
  for (float& v : x) v = normal(rng);
  const auto group = [&](Hard which) {
    return x.begin() + static_cast<std::ptrdiff_t>(which * size);
  };
  const auto last = static_cast<std::ptrdiff_t>(size) - 1;
  std::fill_n(group(kZero), size, 0.0f);
  for (std::ptrdiff_t k = 0; k <= last; ++k) group(kTies)[k] = k % 2 == 0 ? 3.0f : -3.0f;
  group(kOneOutlier)[5] = 100;
  group(kLastOutlier)[last] = -60;
  group(kTwins)[0] = group(kTwins)[1] = 50;
  for (std::ptrdiff_t k = 0; k <= last; ++k) group(kTiny)[k] *= 1e-39f;
  group(kHuge)[0] = 1e29f;
  group(kInfinite)[0] = INFINITY;
  group(kInfinite)[9] = NAN;
  std::fill_n(group(kLone), size, 0.0f);
  group(kLone)[17] = -2.5f;
  for (std::ptrdiff_t k = 0; k <= last; ++k) {
    group(kHalves)[k] = static_cast<float>(k % 32) - 15.5f;
    // A scale of 1 in 8 bits, so that halves are halves of a step.
    if (k % 4 == 0) group(kHalves)[k] = 127;
  }
  for (std::ptrdiff_t k = 0; k <= last; k += 12) {
    group(kManyOutliers)[k] = 40.0f + 0.1f * normal(rng);
  }
  group(kVast)[3] = 2e30f;
  std::fill_n(group(kNans), size, NAN);
  group(kNanFirst)[0] = -NAN;
  group(kNanAfterInfinity)[1] = INFINITY;
  group(kNanAfterInfinity)[14] = NAN;
  std::fill_n(group(kNanBeforeSmall), size, 1.0f);
  group(kNanBeforeSmall)[last - 6] = NAN;
  std::fill_n(group(kNanBeforeSmall) + last - 3, 4, 0.01f);
  group(kNanLast)[last] = NAN;
  return x;
}

// Whether hard_values() put something there that is no number of a model.
bool nonsense(std::size_t group) {
  return group == kInfinite || (group >= kVast && group <= kNanLast);
}

// quantize() of one row on guarded copies.
struct Quantized {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  std::vector<std::uint8_t> lines;

  Quantized(const KernelTable& table, const std::vector<float>& x, std::size_t size, ActForm form) {
    GuardedArray<float> in(x);
    GuardedArray<std::int8_t> c(std::vector<std::int8_t>(2 * x.size(), 99));
    GuardedArray<float> a(std::vector<float>(x.size() / size, -1.0f));
    GuardedArray<std::int32_t> s(std::vector<std::int32_t>(x.size() / size, -1));
    GuardedArray<std::uint8_t> l(std::vector<std::uint8_t>(x.size() / kQuadEvery, 0));
    table.quantize({in.data(), 1, x.size(), x.size()}, {c.data(), a.data(), s.data(), l.data(),
                                                        2 * x.size(), size, x.size() / size, form});
    codes = c.values();
    scales = a.values();
    sums = s.values();
    lines = l.values();
  }

  // What the codes of a group stand for, the second plane of kInt8 read by its named quads.
  std::vector<int> values(std::size_t group, std::size_t size, ActForm form) const {
    const std::int8_t* first = codes.data() + group * 2 * size;
    const std::int8_t* second = first + size;
    std::vector<int> values(first, first + size);
    if (form == ActForm::kInt16) {
      for (std::size_t k = 0; k < size; ++k) values[k] = kInt16Base * first[k] + second[k];
      return values;
    }
    const std::size_t names = size / kQuadEvery;
    for (std::size_t i = group * names; i < (group + 1) * names; ++i) {
      for (std::size_t k = 4 * std::size_t{lines[i]}; k < 4 * std::size_t{lines[i]} + 4; ++k) {
        values[k] += second[k];
      }
    }
    return values;
  }
};

// Protects: quantisation agrees on every level and for every size of group, loses at most half a
// step, names every quad of the second plane and none twice, gives the promised sums, rounds halves
// to even, spares outliers the others, and survives zeros, ties, denormals, infinities and NaN.
TEST(Quantize, EveryIsaEqualsScalar) {
  for (const std::size_t size : {std::size_t{32}, std::size_t{64}, std::size_t{128}}) {
    const std::vector<float> x = hard_values(size);
    for (const ActForm form : {ActForm::kInt8, ActForm::kInt16}) {
      const Quantized want(testable_tables().front(), x, size, form);
      const int most = form == ActForm::kInt16 ? kInt16Top : 254;
      for (std::size_t g = 0; g < kHardGroups; ++g) {
        const std::vector<int> values = want.values(g, size, form);
        EXPECT_EQ(-std::accumulate(values.begin(), values.end(), 0), want.sums[g]) << g;
        for (std::size_t k = 0; k < size && !nonsense(g); ++k) {
          EXPECT_LE(std::abs(values[k]), most);
          const float in = x[g * size + k];
          // Half a step, and what rounding the quotient adds to it.
          const double error = static_cast<double>(want.scales[g]) * values[k] - in;
          EXPECT_LE(std::abs(error), 0.5001 * want.scales[g] + 2e-7 * std::abs(in) + 1e-20)
              << size << ", group " << g << ", " << k;
          if (g == kHalves && form == ActForm::kInt8) {
            EXPECT_EQ(values[k], std::nearbyint(in)) << k;
          }
        }
      }
      for (std::size_t g = 0; g < kHardGroups; ++g) {
        EXPECT_EQ(std::isnan(want.scales[g]), nonsense(g)) << g;
      }
      EXPECT_EQ(want.scales[kZero], 0.0f);
      if (form == ActForm::kInt8) {
        EXPECT_LT(want.scales[kOneOutlier], 0.5) << "the outlier sets the scale";
      }
      for (const std::int8_t code : want.codes) EXPECT_GT(code, -128);
      for (const KernelTable& table : testable_tables()) {
        const Quantized got(table, x, size, form);
        EXPECT_EQ(got.codes, want.codes) << table.isa;
        EXPECT_EQ(got.sums, want.sums) << table.isa;
        EXPECT_EQ(got.lines, want.lines) << table.isa;
        EXPECT_EQ(std::memcmp(got.scales.data(), want.scales.data(), 4 * want.scales.size()), 0)
            << table.isa;
      }
    }
  }
}

// Protects: the range of a group is what ADR 0032 says, and of groups around it only its own: the
// largest magnitude of the quads that may not exceed it, but at least half of the largest of all.
TEST(Quantize, TheLargestThatIsNotSparedSetsTheScale) {
  constexpr std::size_t kGroups = 37;  // no multiple of those that are ranged at once
  std::mt19937 rng(17);
  std::student_t_distribution<float> heavy(3);  // some groups need their outliers, others half
  for (const std::size_t size : {std::size_t{32}, std::size_t{64}, std::size_t{128}}) {
    std::vector<float> x(kGroups * size);
    for (float& v : x) v = heavy(rng);
    int halves = 0;
    for (const KernelTable& table : testable_tables()) {
      const Quantized fast(table, x, size, ActForm::kInt8);
      const Quantized exact(table, x, size, ActForm::kInt16);
      for (std::size_t g = 0; g < kGroups; ++g) {
        std::vector<float> largest(size / 4);
        for (std::size_t k = 0; k < size; ++k) {
          largest[k / 4] = std::max(largest[k / 4], std::abs(x[g * size + k]));
        }
        std::sort(largest.begin(), largest.end(), std::greater<>());
        const float half = 0.5f * largest[0];
        const float kept = largest[size / kQuadEvery];
        halves += half > kept ? 1 : 0;
        EXPECT_EQ(fast.scales[g], std::max(half, kept) / 127.0f) << table.isa << ", " << g;
        EXPECT_EQ(exact.scales[g], largest[0] / static_cast<float>(kInt16Top)) << table.isa;
      }
    }
    const int all = static_cast<int>(kGroups * testable_tables().size());
    EXPECT_GT(halves, 0) << size;
    EXPECT_LT(halves, all) << size;
  }
}

// Protects: parts of several rows become what each becomes alone, on guarded operands, and nothing
// around them is touched.
TEST(Quantize, RowsGoWhereTheyBelong) {
  constexpr std::size_t kRows = 11, kWidth = 640, kBegin = 128, kCols = 384, kStride = 400;
  constexpr std::size_t kPitch = 2 * kWidth + 64;
  std::mt19937 rng(3);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x((kRows - 1) * kStride + kCols);
  for (float& v : x) v = normal(rng);
  GuardedArray<float> in(x);
  const CpuFeatures cpu = detect_cpu_features();
  for (const ActForm form : {ActForm::kInt8, ActForm::kInt16}) {
    for (const std::size_t size : {32, 64, 128}) {
      const std::size_t groups = kWidth / size;
      const std::size_t names = kWidth / kQuadEvery;
      for (const std::string& level : runnable_levels(cpu)) {
        const KernelTable table = make_kernel_table(cpu, level).value();
        std::vector<std::int8_t> codes(kRows * kPitch, 99);
        std::vector<float> scales(kRows * groups, -1);
        std::vector<std::int32_t> sums(kRows * groups, -1);
        std::vector<std::uint8_t> lines(kRows * names, 99);
        GuardedArray<std::int8_t> c(codes);
        GuardedArray<float> a(scales);
        GuardedArray<std::int32_t> s(sums);
        GuardedArray<std::uint8_t> l(lines);
        table.quantize({in.data(), kRows, kCols, kStride},
                       {c.data() + 2 * kBegin, a.data() + kBegin / size, s.data() + kBegin / size,
                        l.data() + kBegin / kQuadEvery, kPitch, size, groups, form});
        const auto put = [](const auto& from, std::size_t at, auto& to) {
          std::copy(from.begin(), from.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
        };
        for (std::size_t r = 0; r < kRows; ++r) {
          const auto row = x.begin() + static_cast<std::ptrdiff_t>(r * kStride);
          const Quantized alone(table, std::vector<float>(row, row + kCols), size, form);
          put(alone.codes, r * kPitch + 2 * kBegin, codes);
          put(alone.scales, r * groups + kBegin / size, scales);
          put(alone.sums, r * groups + kBegin / size, sums);
          if (form == ActForm::kInt8) put(alone.lines, r * names + kBegin / kQuadEvery, lines);
        }
        EXPECT_EQ(c.values(), codes) << level << ", group " << size;
        EXPECT_EQ(a.values(), scales) << level << ", group " << size;
        EXPECT_EQ(s.values(), sums) << level << ", group " << size;
        EXPECT_EQ(l.values(), lines) << level << ", group " << size;
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm::kernels
