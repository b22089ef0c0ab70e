#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
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
  bool extras;
  std::string text() const {
    return std::to_string(rows) + "x" + std::to_string(cols) + " g" + std::to_string(group) + ", " +
           std::to_string(tokens) + " tokens" + (extras ? ", extras" : "");
  }
  std::size_t panels() const { return (rows + kFieldRows - 1) / kFieldRows; }
};

// Rows that are no multiple of 64, every kind of group up to one per row, every tile and remainder.
std::vector<Shape> random_shapes() {
  std::vector<Shape> shapes = {{1, 32, 32, 1, false},     {64, 32, 32, 3, true},
                               {65, 96, 96, 2, false},    {63, 64, 32, 5, true},
                               {200, 1024, 128, 1, true}, {128, 768, 768, 7, false},
                               {130, 256, 64, 100, true}};
  std::mt19937 rng(3);
  constexpr std::size_t kGroups[] = {32, 64, 96, 128, 256, 0};  // 0: the row
  for (int i = 0; i < 40; ++i) {
    const std::size_t group = kGroups[rng() % 6];
    const std::size_t cols = group == 0 ? 32 * (1 + rng() % 12) : group * (1 + rng() % 4);
    shapes.push_back(
        {1 + rng() % 150, cols, group == 0 ? cols : group, 1 + rng() % 9, rng() % 2 == 0});
  }
  return shapes;
}

// Activations as quantize() may give them, at the edge of their ranges often.
struct Activations {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  std::vector<Extra> extras;

  Activations(const Shape& s, std::mt19937& rng) {
    const std::size_t groups = s.tokens * s.cols / kActGroup;
    codes.resize(s.tokens * s.cols);
    for (auto& code : codes) {
      const auto draw = static_cast<int>(rng() % 300);
      code = static_cast<std::int8_t>(std::clamp(draw - 150, -127, 127));
    }
    for (std::size_t g = 0; g < groups; ++g) {
      scales.push_back(std::ldexp(static_cast<float>(1 + rng() % 1000), -12));
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < kActGroup; ++k) sum += codes[g * kActGroup + k];
      if (s.extras) {
        const auto at = static_cast<std::uint32_t>(rng() % kActGroup);
        const int above = static_cast<int>(rng() % 255) - 127;
        extras.push_back({(static_cast<std::uint32_t>(above) & 0xffu) << 8 * (at % 4), at / 4});
        sum += above;
      }
      sums.push_back(-sum);
    }
  }

  // What the code of in-feature k of token t comes to, extra included.
  int value(const Shape& s, std::size_t t, std::size_t k) const {
    int code = codes[t * s.cols + k];
    if (s.extras) {
      const Extra& extra = extras[(t * s.cols + k) / kActGroup];
      if (extra.line == k % kActGroup / 4) {
        code += static_cast<std::int8_t>(extra.quad >> 8 * (k % 4));
      }
    }
    return code;
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
  GuardedArray<Extra> extras(x.extras);
  const std::size_t ldy = s.rows + 5;
  GuardedArray<float> out(std::vector<float>((s.tokens - 1) * ldy + s.rows, -7.0f));
  kernel(QuantizedIo{
      {codes.data(), scales.data(), sums.data(), s.extras ? extras.data() : nullptr, s.cols},
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

// Protects: the ternary product of int8 activations equals its definition bit for bit on every
// level, shape and group size, and no kernel touches a byte outside its operands.
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

// Protects: quantisation agrees on every level, loses at most half a step, gives the promised sums,
// rounds halves to even, and survives zeros, ties of the largest element, denormals, infinities and
// NaN.
TEST(Quantize, EveryIsaEqualsScalar) {
  constexpr std::size_t kCols = 32 * 12;
  std::mt19937 rng(13);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(kCols);
  for (float& v : x) v = normal(rng);
  std::fill_n(x.begin(), 32, 0.0f);
  for (int k = 0; k < 32; ++k) x[32 + static_cast<std::size_t>(k)] = k % 2 == 0 ? 3.0f : -3.0f;
  x[64 + 5] = 100;   // one outlier
  x[96 + 31] = -60;  // in the second half
  x[128] = x[129] = 50;
  for (int k = 0; k < 32; ++k) x[160 + static_cast<std::size_t>(k)] *= 1e-39f;
  x[192] = 1e38f;
  x[224] = INFINITY;
  std::fill_n(x.begin() + 256, 32, 0.0f);
  x[256 + 17] = -2.5f;  // nothing but one
  for (int k = 0; k < 32; ++k) x[288 + static_cast<std::size_t>(k)] = static_cast<float>(k) - 15.5f;
  x[288] = 127;  // a scale of 1, so that the halves above are halves of a step
  x[289] = -127;
  GuardedArray<float> in(x);
  for (const bool wide : {false, true}) {
    std::vector<std::int8_t> want_codes;
    std::vector<float> want_scales;
    std::vector<std::int32_t> want_sums;
    std::vector<Extra> want_extras;
    for (const KernelTable& table : testable_tables()) {
      GuardedArray<std::int8_t> codes(std::vector<std::int8_t>(kCols, 99));
      GuardedArray<float> scales(std::vector<float>(kCols / 32, -1.0f));
      GuardedArray<std::int32_t> sums(std::vector<std::int32_t>(kCols / 32, -1));
      GuardedArray<Extra> extras(std::vector<Extra>(kCols / 32));
      table.quantize(
          in.data(), kCols,
          {codes.data(), scales.data(), sums.data(), wide ? extras.data() : nullptr, kCols});
      if (want_codes.empty()) {
        want_codes = codes.values();
        want_scales = scales.values();
        want_sums = sums.values();
        want_extras = extras.values();
        for (std::size_t g = 0; g < kCols / 32; ++g) {
          std::int32_t sum = 0;
          for (std::size_t k = 32 * g; k < 32 * g + 32; ++k) {
            int code = want_codes[k];
            const Extra& extra = want_extras[g];
            if (wide && extra.line == k % 32 / 4) {
              code += static_cast<std::int8_t>(extra.quad >> 8 * (k % 4));
            }
            sum += code;
            if (g == 7) continue;  // the infinity
            EXPECT_LE(std::abs(code), wide ? 254 : 127);
            const double error = static_cast<double>(want_scales[g]) * code - x[k];
            EXPECT_LE(std::abs(error), 0.50001 * want_scales[g] + 1.3e-30) << k;
          }
          EXPECT_EQ(-sum, want_sums[g]) << g;
        }
        for (std::size_t k = 288; k < 320; ++k) EXPECT_EQ(want_codes[k], std::nearbyint(x[k])) << k;
        EXPECT_TRUE(std::isnan(want_scales[7]));
        EXPECT_EQ(want_scales[0], 0.0f);
        EXPECT_LT(want_scales[2], wide ? 0.5 : 1.0);
      }
      EXPECT_EQ(codes.values(), want_codes) << table.isa;
      EXPECT_EQ(sums.values(), want_sums) << table.isa;
      EXPECT_EQ(std::memcmp(scales.data(), want_scales.data(), 4 * want_scales.size()), 0)
          << table.isa;
      EXPECT_EQ(std::memcmp(extras.data(), want_extras.data(), sizeof(Extra) * want_extras.size()),
                0)
          << table.isa;
    }
  }
}

}  // namespace
}  // namespace bitcpm::kernels
