#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "base/dtype.h"
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
          Shape{128, 768, 768, 17, form}, Shape{130, 256, 64, 100, form},
          // blocks of one or two tiles of tokens, alone and after whole ones
          Shape{64, 384, 128, 9, form}, Shape{130, 256, 128, 26, form},
          Shape{70, 192, 64, 16, form}, Shape{64, 96, 32, 20, form}, Shape{64, 256, 128, 70, form},
          Shape{70, 320, 64, 90, form}}) {
      shapes.push_back(s);
    }
    for (std::size_t tokens = 1; tokens <= 13; ++tokens) {
      shapes.push_back(Shape{70, 128, 64, tokens, form});
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

// Activations as quantize() may give them, at the edge of their ranges often; or all of one code,
// with every quad of the second plane that there may be.
struct Activations {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  std::vector<std::uint8_t> lines;
  std::size_t pitch;

  Activations(const Shape& s, std::mt19937& rng, int least = -127, int most = 127)
      : pitch(2 * s.cols + 64), least_(least), most_(most) {
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
      return static_cast<std::int8_t>(
          std::clamp(static_cast<int>(rng() % 300) - 150, least_, most_));
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
      if (least_ == most_) line = (zero + 1 + i) % (size / 4);
      if (std::find(taken.begin(), taken.end(), line) != taken.end()) line = zero;
      taken.push_back(line);
      lines.push_back(static_cast<std::uint8_t>(line));
      for (std::size_t k = 4 * line; k < 4 * line + 4 && line != zero; ++k) second[k] = draw();
    }
  }

  int least_, most_;
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

// Protects: levels that add products in 16 bits for a while (avx2) have room for the largest of
// both signs, quads of the second plane included.
TEST(TernaryFields, TheLargestSumsAreExact) {
  std::mt19937 rng(13);
  for (const ActForm form : {ActForm::kInt8, ActForm::kInt16}) {
    for (const int code : {-127, 127}) {
      const Shape s{64, kMostActGroup, kMostActGroup, 47, form};
      const std::vector<std::uint8_t> lines(s.cols / 4 * kFieldRows, 0xaa);  // weights of 1
      const std::vector<std::uint16_t> scales = draw_scales(s, rng);
      Activations x(s, rng, code, code);
      const std::vector<float> want =
          reference(s, x, scales, [](std::size_t, std::size_t) { return 1; });
      const TernaryFields w{lines.data(), scales.data(), s.rows, s.cols, s.group};
      for (const KernelTable& table : testable_tables()) {
        expect_bits(s, x, want, table.isa,
                    [&](const QuantizedIo& io) { table.ternary_fields(w, 0, s.panels(), io); });
      }
    }
  }
}

// Weights of 8 bits and their planes.
struct Int8Weights {
  std::vector<std::uint8_t> high01, high2, low;
  std::vector<std::int8_t> values;  // [rows of all panels][cols]

  Int8Weights(const Shape& s, std::mt19937& rng)
      : high01(s.panels() * s.cols / 2 * kFieldRows),
        high2(high01.size() / 2),
        low(high01.size() / 2) {
    for (std::size_t r = 0; r < s.panels() * kFieldRows; ++r) {
      for (std::size_t k = 0; k < s.cols; ++k) {
        const int value = rng() % 4 == 0 ? 127 : static_cast<int>(rng() % 255) - 127;
        values.push_back(static_cast<std::int8_t>(value));
        put(r / kFieldRows * (s.cols / 4) + k / 4, 4 * (r % 16) + k % 4, r % kFieldRows / 16,
            static_cast<std::uint8_t>(value));
      }
    }
  }

 private:
  void put(std::size_t line, std::size_t in_line, std::size_t field, std::uint8_t byte) {
    std::uint8_t* upper[] = {&high01[2 * line * kFieldRows + in_line],
                             &high01[(2 * line + 1) * kFieldRows + in_line],
                             &high2[line * kFieldRows + in_line]};
    if (field < 3) {
      *upper[field] |= byte & 0xfc;
    } else {
      *upper[0] |= byte >> 6;
      *upper[1] |= byte >> 4 & 3;
      *upper[2] |= byte >> 2 & 3;
    }
    constexpr int kLowShift[] = {2, 4, 6, 0};
    low[line * kFieldRows + in_line] |= static_cast<std::uint8_t>((byte & 3) << kLowShift[field]);
  }
};

// Protects: the same for 8-bit weights, extremes of both operands included, and for their upper
// bits alone.
TEST(Int8Fields, EveryIsaEqualsTheDefinition) {
  std::mt19937 rng(12);
  for (const Shape& s : random_shapes()) {
    if (s.form != ActForm::kInt8) continue;
    const Int8Weights weights(s, rng);
    const std::vector<std::uint16_t> scales = draw_scales(s, rng);
    Activations x(s, rng);
    const std::vector<float> want = reference(
        s, x, scales, [&](std::size_t r, std::size_t k) { return weights.values[r * s.cols + k]; });
    const std::vector<float> screen = reference(s, x, scales, [&](std::size_t r, std::size_t k) {
      return (weights.values[r * s.cols + k] & ~3) + kScreenLow;
    });
    GuardedArray<std::uint8_t> high01(weights.high01);
    GuardedArray<std::uint8_t> high2(weights.high2);
    GuardedArray<std::uint8_t> low(weights.low);
    GuardedArray<std::uint16_t> guarded_scales(scales);
    const Int8Fields w{high01.data(), high2.data(), low.data(), guarded_scales.data(),
                       s.rows,        s.cols,       s.group};
    for (const KernelTable& table : testable_tables()) {
      expect_bits(s, x, want, table.isa,
                  [&](const QuantizedIo& io) { table.int8_fields(w, 0, s.panels(), io); });
      expect_bits(s, x, screen, std::string(table.isa) + " screen",
                  [&](const QuantizedIo& io) { table.screen_fields(w, 0, s.panels(), io); });
    }
  }
}

}  // namespace
}  // namespace bitcpm::kernels
