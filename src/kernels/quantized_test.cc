#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "base/dtype.h"
#include "kernels/dispatch.h"
#include "kernels/guarded_array.h"
#include "kernels/table.h"
#include "kernels/test_levels.h"

namespace bitcpm::kernels {
namespace {

struct Shape {
  std::size_t rows, cols, group, tokens;
  ActForm form;
  std::size_t act_group = std::gcd(group, kMostActGroup);
  std::string text() const {
    return std::to_string(rows) + "x" + std::to_string(cols) + " g" + std::to_string(group) + ", " +
           std::to_string(tokens) + " tokens, form " + std::to_string(static_cast<int>(form)) +
           ", activations by " + std::to_string(act_group);
  }
  std::size_t panels() const { return (rows + kFieldRows - 1) / kFieldRows; }
};

// Rows that are no multiple of 64, every kind of group up to one per row, every tile and remainder;
// activations whose groups are as wide as the weights' allow, or narrower.
std::vector<Shape> random_shapes() {
  constexpr ActForm kForms[] = {ActForm::kInt8, ActForm::kInt16};
  std::vector<Shape> shapes;
  for (const ActForm form : kForms) {
    for (const Shape& s :
         {Shape{1, 32, 32, 1, form}, Shape{64, 32, 32, 3, form}, Shape{65, 96, 96, 2, form},
          Shape{63, 64, 32, 5, form}, Shape{200, 1024, 128, 1, form},
          Shape{128, 768, 768, 17, form}, Shape{130, 256, 64, 100, form}}) {
      shapes.push_back(s);
    }
  }
  std::mt19937 rng(3);
  constexpr std::size_t kGroups[] = {32, 64, 96, 128, 256, 0};  // 0: the row
  for (int i = 0; i < 50; ++i) {
    const std::size_t group = kGroups[rng() % 6];
    const std::size_t cols = group == 0 ? 32 * (1 + rng() % 12) : group * (1 + rng() % 4);
    const std::size_t tokens = 1 + rng() % (i % 2 == 0 ? 9 : 60);
    shapes.push_back({1 + rng() % 150, cols, group == 0 ? cols : group, tokens, kForms[rng() % 2]});
    if (rng() % 4 == 0) shapes.back().act_group = kLeastActGroup;
  }
  return shapes;
}

// Activations as quantize() may give them, at the edge of their ranges often.
struct Activations {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  std::vector<std::uint8_t> lines;
  std::size_t pitch;

  Activations(const Shape& s, std::mt19937& rng) : pitch(2 * s.cols + 64) {
    codes.resize(s.tokens * pitch, 99);
    for (std::size_t t = 0; t < s.tokens; ++t) {
      for (std::size_t k = 0; k < s.cols; k += s.act_group) {
        draw_group(s.form, s.act_group, codes.data() + t * pitch + 2 * k, rng);
        scales.push_back(std::ldexp(static_cast<float>(1 + rng() % 1000), -12));
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < s.act_group; ++i) sum += value(s, t, k + i);
        sums.push_back(-sum);
      }
    }
    codes.resize(codes.size() - 64);  // nothing is owed behind the last row
  }

  // What the code of in-feature k of token t stands for.
  int value(const Shape& s, std::size_t t, std::size_t k) const {
    const std::size_t in_group = k % s.act_group;
    const std::int8_t* first = codes.data() + t * pitch + 2 * (k - in_group) + in_group;
    return (s.form == ActForm::kInt16 ? kInt16Base : 1) * *first + first[s.act_group];
  }

 private:
  void draw_group(ActForm form, std::size_t size, std::int8_t* first, std::mt19937& rng) {
    const auto draw = [&] {
      return static_cast<std::int8_t>(std::clamp(static_cast<int>(rng() % 300) - 150, -127, 127));
    };
    std::int8_t* second = first + size;
    for (std::size_t k = 0; k < size; ++k) {
      first[k] = draw();
      second[k] = form == ActForm::kInt16 ? draw() : std::int8_t{0};
    }
    if (form == ActForm::kInt16) return;
    // Quads anywhere in the group, none twice unless it is zero.
    const std::size_t zero = rng() % (size / 4);
    std::vector<std::size_t> taken{zero};
    for (std::size_t i = 0; i < size / kQuadEvery; ++i) {
      std::size_t line = rng() % (size / 4);
      if (std::find(taken.begin(), taken.end(), line) != taken.end()) line = zero;
      taken.push_back(line);
      lines.push_back(static_cast<std::uint8_t>(line));
      for (std::size_t k = 4 * line; k < 4 * line + 4 && line != zero; ++k) second[k] = draw();
    }
  }
};

// The definition, straight from the layouts of quantized.h: every sum of products in integers, then
// the two chains of fma.
template <class Weight>
std::vector<float> reference(const Shape& s, const Activations& x,
                             const std::vector<std::uint16_t>& scales, const Weight& weight) {
  std::vector<float> y(s.tokens * s.rows);
  const std::size_t groups = s.cols / s.group;
  for (std::size_t t = 0; t < s.tokens; ++t) {
    for (std::size_t r = 0; r < s.rows; ++r) {
      float total = 0;
      for (std::size_t g = 0; g < groups; ++g) {
        float inner = 0;
        for (std::size_t k0 = g * s.group; k0 < (g + 1) * s.group; k0 += s.act_group) {
          std::int32_t sum = 0;
          for (std::size_t k = k0; k < k0 + s.act_group; ++k) {
            sum += weight(r, k) * x.value(s, t, k);
          }
          inner =
              std::fmaf(static_cast<float>(sum), x.scales[(t * s.cols + k0) / s.act_group], inner);
        }
        const std::uint16_t scale =
            scales[(r / kFieldRows * groups + g) * kFieldRows + r % kFieldRows];
        total = std::fmaf(bf16_to_f32(scale), inner, total);
      }
      y[t * s.rows + r] = total;
    }
  }
  return y;
}

std::vector<std::uint16_t> draw_scales(const Shape& s, std::mt19937& rng) {
  std::vector<std::uint16_t> scales(s.panels() * s.cols / s.group * kFieldRows);
  for (auto& scale : scales) scale = bf16_from_f32(0.01f + 0.001f * static_cast<float>(rng() % 50));
  return scales;
}

// Runs one kernel on guarded copies and compares bits; what lies between rows stays untouched.
template <class Kernel>
void expect_bits(const Shape& s, Activations& x, const std::vector<float>& want,
                 const std::string& what, const Kernel& kernel) {
  GuardedArray<std::int8_t> codes(x.codes);
  GuardedArray<float> scales(x.scales);
  GuardedArray<std::int32_t> sums(x.sums);
  GuardedArray<std::uint8_t> lines(x.lines);
  const std::size_t ldy = s.rows + 5;
  GuardedArray<float> out(std::vector<float>((s.tokens - 1) * ldy + s.rows, -7.0f));
  kernel(QuantizedIo{{codes.data(), scales.data(), sums.data(), lines.data(), x.pitch, s.act_group,
                      s.cols / s.act_group, s.form},
                     s.tokens,
                     out.data(),
                     ldy});
  const std::vector<float> all = out.values();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool inside = i % ldy < s.rows;
    const float expected = inside ? want[i / ldy * s.rows + i % ldy] : -7.0f;
    ASSERT_EQ(std::memcmp(&all[i], &expected, 4), 0)
        << what << ", " << s.text() << ": token " << i / ldy << " row " << i % ldy << " is "
        << all[i] << ", not " << expected;
  }
}

// Protects: the ternary product of activations in every form equals its definition bit for bit on
// every level, shape and group size, and no kernel touches a byte outside its operands.
TEST(TernaryFields, EveryIsaEqualsTheDefinition) {
  std::mt19937 rng(11);
  for (const Shape& s : random_shapes()) {
    std::vector<std::uint8_t> lines(s.panels() * s.cols / 4 * kFieldRows, 0);
    for (auto& byte : lines) {
      for (int f = 0; f < 4; ++f) byte |= static_cast<std::uint8_t>(rng() % 3 << 2 * f);
    }
    const std::vector<std::uint16_t> scales = draw_scales(s, rng);
    Activations x(s, rng);
    const auto weight = [&](std::size_t r, std::size_t k) {
      const std::size_t in_panel = r % kFieldRows;
      const std::size_t line = r / kFieldRows * (s.cols / 4) + k / 4;
      return (lines[line * kFieldRows + 4 * (in_panel % 16) + k % 4] >> 2 * (in_panel / 16) & 3) -
             1;
    };
    const std::vector<float> want = reference(s, x, scales, weight);
    GuardedArray<std::uint8_t> guarded_lines(lines);
    GuardedArray<std::uint16_t> guarded_scales(scales);
    const TernaryFields w{guarded_lines.data(), guarded_scales.data(), s.rows, s.cols, s.group};
    for (const KernelTable& table : testable_tables()) {
      expect_bits(s, x, want, table.isa,
                  [&](const QuantizedIo& io) { table.ternary_fields(w, 0, s.panels(), io); });
    }
  }
}

// Weights of 8 bits and their nibble planes.
struct Int8Weights {
  std::vector<std::uint8_t> high, low;
  std::vector<int> bytes;  // [rows of all panels][cols], weight + 128

  Int8Weights(const Shape& s, std::mt19937& rng)
      : high(s.panels() * s.cols * kFieldRows / 2), low(high.size()) {
    for (std::size_t r = 0; r < s.panels() * kFieldRows; ++r) {
      for (std::size_t k = 0; k < s.cols; ++k) {
        const int byte = rng() % 4 == 0 ? 255 : static_cast<int>(1 + rng() % 255);
        bytes.push_back(byte);
        const std::size_t field = r % kFieldRows / 16;
        const std::size_t line = (r / kFieldRows * (s.cols / 4) + k / 4) * 2 + field / 2;
        const std::size_t at = line * kFieldRows + 4 * (r % 16) + k % 4;
        const bool odd = field % 2 == 1;
        high[at] |= static_cast<std::uint8_t>(odd ? byte & 0xf0 : byte >> 4);
        low[at] |= static_cast<std::uint8_t>(odd ? byte & 0x0f : (byte & 0x0f) << 4);
      }
    }
  }
};

// Protects: the same for 8-bit weights, extremes of both operands included, and for their upper
// nibbles alone.
TEST(Int8Fields, EveryIsaEqualsTheDefinition) {
  std::mt19937 rng(12);
  for (const Shape& s : random_shapes()) {
    if (s.form != ActForm::kInt8) continue;
    const Int8Weights weights(s, rng);
    const std::vector<std::uint16_t> scales = draw_scales(s, rng);
    Activations x(s, rng);
    const std::vector<float> want = reference(s, x, scales, [&](std::size_t r, std::size_t k) {
      return weights.bytes[r * s.cols + k] - kInt8WeightZero;
    });
    const std::vector<float> screen = reference(s, x, scales, [&](std::size_t r, std::size_t k) {
      return (weights.bytes[r * s.cols + k] & 0xf0) - kScreenZero;
    });
    GuardedArray<std::uint8_t> high(weights.high);
    GuardedArray<std::uint8_t> low(weights.low);
    GuardedArray<std::uint16_t> guarded_scales(scales);
    const Int8Fields w{high.data(), low.data(), guarded_scales.data(), s.rows, s.cols, s.group};
    for (const KernelTable& table : testable_tables()) {
      expect_bits(s, x, want, table.isa,
                  [&](const QuantizedIo& io) { table.int8_fields(w, 0, s.panels(), io); });
      expect_bits(s, x, screen, std::string(table.isa) + " screen",
                  [&](const QuantizedIo& io) { table.screen_fields(w, 0, s.panels(), io); });
    }
  }
}

// Groups of values that are hard to quantise: ties of the largest element, outliers, denormals, an
// infinity.
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
  return x;
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
        for (std::size_t k = 0; k < size && g != kInfinite; ++k) {
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
      EXPECT_TRUE(std::isnan(want.scales[kInfinite]));
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
