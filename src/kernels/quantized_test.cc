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
  std::string text() const {
    return std::to_string(rows) + "x" + std::to_string(cols) + " g" + std::to_string(group) + ", " +
           std::to_string(tokens) + " tokens, form " + std::to_string(static_cast<int>(form));
  }
  std::size_t panels() const { return (rows + kFieldRows - 1) / kFieldRows; }
};

// Rows that are no multiple of 64, every kind of group up to one per row, every tile and remainder.
std::vector<Shape> random_shapes() {
  constexpr ActForm kForms[] = {ActForm::kInt8, ActForm::kInt8Outlier, ActForm::kInt16};
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
  for (int i = 0; i < 40; ++i) {
    const std::size_t group = kGroups[rng() % 6];
    const std::size_t cols = group == 0 ? 32 * (1 + rng() % 12) : group * (1 + rng() % 4);
    const std::size_t tokens = 1 + rng() % (i % 2 == 0 ? 9 : 60);
    shapes.push_back({1 + rng() % 150, cols, group == 0 ? cols : group, tokens, kForms[rng() % 3]});
  }
  return shapes;
}

// Activations as quantize() may give them, at the edge of their ranges often.
struct Activations {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  std::vector<std::uint8_t> lines;

  Activations(const Shape& s, std::mt19937& rng) {
    const std::size_t groups = s.tokens * s.cols / kActGroup;
    const auto draw = [&] {
      return static_cast<std::int8_t>(std::clamp(static_cast<int>(rng() % 300) - 150, -127, 127));
    };
    for (std::size_t g = 0; g < groups; ++g) {
      for (std::size_t k = 0; k < kActGroup; ++k) codes.push_back(draw());
      if (s.form == ActForm::kInt16) {
        for (std::size_t k = 0; k < kActGroup; ++k) codes.push_back(draw());
      } else if (s.form == ActForm::kInt8Outlier) {
        const auto at = static_cast<std::size_t>(rng() % kActGroup);
        codes.resize(codes.size() + kActGroup, 0);
        codes[codes.size() - kActGroup + at] = draw();
        lines.push_back(static_cast<std::uint8_t>(at / 4));
      }
      scales.push_back(std::ldexp(static_cast<float>(1 + rng() % 1000), -12));
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < kActGroup; ++k) sum += value(s, 0, g * kActGroup + k);
      sums.push_back(-sum);
    }
  }

  // What the code of in-feature k of token t stands for.
  int value(const Shape& s, std::size_t t, std::size_t k) const {
    const std::size_t group = (t * s.cols + k) / kActGroup;
    const std::int8_t* first = codes.data() + group * planes_of(s.form) * kActGroup + k % kActGroup;
    if (s.form == ActForm::kInt8) return *first;
    return (s.form == ActForm::kInt16 ? kInt16Base : 1) * *first + first[kActGroup];
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
        for (std::size_t k0 = g * s.group; k0 < (g + 1) * s.group; k0 += kActGroup) {
          std::int32_t sum = 0;
          for (std::size_t k = k0; k < k0 + kActGroup; ++k) sum += weight(r, k) * x.value(s, t, k);
          inner =
              std::fmaf(static_cast<float>(sum), x.scales[(t * s.cols + k0) / kActGroup], inner);
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
  kernel(QuantizedIo{{codes.data(), scales.data(), sums.data(), lines.data(), s.cols, s.form},
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

// Values that are hard to quantise: ties of the largest element, outliers, denormals, an infinity.
std::vector<float> hard_values(std::size_t cols) {
  std::mt19937 rng(13);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(cols);
  for (float& v : x) v = normal(rng);
  std::fill_n(x.begin(), 32, 0.0f);
  for (int k = 0; k < 32; ++k) x[32 + static_cast<std::size_t>(k)] = k % 2 == 0 ? 3.0f : -3.0f;
  x[64 + 5] = 100;   // one outlier
  x[96 + 31] = -60;  // in the second half
  x[128] = x[129] = 50;
  for (int k = 0; k < 32; ++k) x[160 + static_cast<std::size_t>(k)] *= 1e-39f;
  x[192] = 1e29f;
  x[224] = INFINITY;
  std::fill_n(x.begin() + 256, 32, 0.0f);
  x[256 + 17] = -2.5f;  // nothing but one
  for (int k = 0; k < 32; ++k) x[288 + static_cast<std::size_t>(k)] = static_cast<float>(k) - 15.5f;
  x[288] = 127;  // a scale of 1 in 8 bits, so that the halves above are halves of a step
  x[289] = -127;
  return x;
}

// quantize() of one row on guarded copies.
struct Quantized {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  std::vector<std::uint8_t> lines;

  Quantized(const KernelTable& table, const std::vector<float>& x, ActForm form) {
    GuardedArray<float> in(x);
    GuardedArray<std::int8_t> c(std::vector<std::int8_t>(x.size() * planes_of(form), 99));
    GuardedArray<float> a(std::vector<float>(x.size() / 32, -1.0f));
    GuardedArray<std::int32_t> s(std::vector<std::int32_t>(x.size() / 32, -1));
    GuardedArray<std::uint8_t> l(std::vector<std::uint8_t>(x.size() / 32, 0));
    table.quantize(in.data(), x.size(), {c.data(), a.data(), s.data(), l.data(), x.size(), form});
    codes = c.values();
    scales = a.values();
    sums = s.values();
    lines = l.values();
  }
};

// What the codes of a group stand for, the second plane of kInt8Outlier read as the kernels do.
std::vector<int> values_of(const Quantized& q, std::size_t group, ActForm form) {
  const std::int8_t* first = q.codes.data() + group * planes_of(form) * kActGroup;
  std::vector<int> values(first, first + kActGroup);
  for (std::size_t k = 0; k < kActGroup && form != ActForm::kInt8; ++k) {
    if (form == ActForm::kInt16) values[k] *= kInt16Base;
    if (form == ActForm::kInt16 || k / 4 == q.lines[group]) values[k] += first[kActGroup + k];
  }
  return values;
}

// Protects: quantisation agrees on every level, loses at most half a step, gives the promised sums,
// rounds halves to even, and survives zeros, ties of the largest element, denormals, infinities and
// NaN.
TEST(Quantize, EveryIsaEqualsScalar) {
  const std::vector<float> x = hard_values(32 * 12);
  for (const ActForm form : {ActForm::kInt8, ActForm::kInt8Outlier, ActForm::kInt16}) {
    const Quantized want(testable_tables().front(), x, form);
    const int most = form == ActForm::kInt16 ? kInt16Top : form == ActForm::kInt8 ? 127 : 254;
    for (std::size_t g = 0; g < 12; ++g) {
      const std::vector<int> values = values_of(want, g, form);
      EXPECT_EQ(-std::accumulate(values.begin(), values.end(), 0), want.sums[g]) << g;
      for (std::size_t k = 0; k < kActGroup && g != 7; ++k) {
        EXPECT_LE(std::abs(values[k]), most);
        const float in = x[g * kActGroup + k];
        // Half a step, and what rounding the quotient adds to it.
        const double error = static_cast<double>(want.scales[g]) * values[k] - in;
        EXPECT_LE(std::abs(error), 0.5001 * want.scales[g] + 2e-7 * std::abs(in) + 1e-20) << k;
        if (g == 9 && form != ActForm::kInt16) {
          EXPECT_EQ(values[k], std::nearbyint(in)) << k;
        }
      }
    }
    EXPECT_TRUE(std::isnan(want.scales[7]));
    EXPECT_EQ(want.scales[0], 0.0f);
    EXPECT_LT(want.scales[2], form == ActForm::kInt8 ? 1.0 : 0.5);
    for (const std::int8_t code : want.codes) EXPECT_GT(code, -128);
    for (const KernelTable& table : testable_tables()) {
      const Quantized got(table, x, form);
      EXPECT_EQ(got.codes, want.codes) << table.isa;
      EXPECT_EQ(got.sums, want.sums) << table.isa;
      EXPECT_EQ(got.lines, want.lines) << table.isa;
      EXPECT_EQ(std::memcmp(got.scales.data(), want.scales.data(), 4 * want.scales.size()), 0)
          << table.isa;
    }
  }
}

}  // namespace
}  // namespace bitcpm::kernels
