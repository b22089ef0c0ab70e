#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>

#include "base/dtype.h"
#include "kernels/dispatch.h"
#include "kernels/guarded_array.h"
#include "kernels/table.h"
#include "kernels/test_levels.h"

namespace bitcpm::kernels {
namespace {

std::vector<float> draw_floats(std::size_t count, unsigned seed, float size = 1) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, size);
  std::vector<float> values(count);
  for (float& value : values) value = normal(rng);
  return values;
}

std::size_t panels_of(std::size_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

void expect_same_bits(const std::vector<float>& want, const std::vector<float>& got,
                      const std::string& what) {
  ASSERT_EQ(want.size(), got.size());
  EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0) << what;
}

struct LinearShape {
  std::size_t rows, cols, tokens;
};

// Shapes that meet every tile and every remainder: rows off the panel, one to nineteen tokens.
std::vector<LinearShape> random_shapes() {
  std::vector<LinearShape> shapes = {{1, 32, 1},    {16, 32, 8},   {17, 64, 9},
                                     {64, 1024, 1}, {100, 768, 3}, {33, 96, 19}};
  std::mt19937 rng(2);
  for (int i = 0; i < 40; ++i) {
    shapes.push_back({1 + rng() % 90, 32 * (1 + rng() % 40), 1 + rng() % 19});
  }
  return shapes;
}

// y of one kernel on guarded copies; lanes past `rows` must stay untouched.
template <class Activation, class Run>
std::vector<float> run_linear(const LinearShape& s, const std::vector<Activation>& x,
                              const Run& run) {
  const std::size_t ldx = s.cols + 3;
  const std::size_t ldy = s.rows + 5;
  std::vector<Activation> strided((s.tokens - 1) * ldx + s.cols);
  for (std::size_t t = 0; t < s.tokens; ++t) {
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(t * s.cols), s.cols,
                strided.begin() + static_cast<std::ptrdiff_t>(t * ldx));
  }
  GuardedArray<Activation> in(strided);
  GuardedArray<float> out(std::vector<float>((s.tokens - 1) * ldy + s.rows, -7.0f));
  run(RowsIo<Activation>{in.data(), ldx, out.data(), ldy, s.tokens});
  const std::vector<float> all = out.values();
  std::vector<float> y;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % ldy < s.rows) {
      y.push_back(all[i]);
    } else {
      EXPECT_EQ(all[i], -7.0f) << "wrote between rows";
    }
  }
  return y;
}

// Largest |got - want| of a product against f64, in units of sum |w x| * 2^-24.
double worst_rounding(const LinearShape& s, const std::vector<float>& x,
                      const std::vector<float>& y,
                      const std::function<double(std::size_t row, std::size_t k)>& weight) {
  double worst = 0;
  for (std::size_t t = 0; t < s.tokens; ++t) {
    for (std::size_t r = 0; r < s.rows; ++r) {
      double sum = 0;
      double size = 1e-30;
      for (std::size_t k = 0; k < s.cols; ++k) {
        const double product = weight(r, k) * x[t * s.cols + k];
        sum += product;
        size += std::abs(product);
      }
      worst = std::max(worst, std::abs(y[t * s.rows + r] - sum) / (size * 0x1p-24));
    }
  }
  return worst;
}

// A chain of at most `block` additions, then one per block: the classical bound.
double rounding_bound(const LinearShape& s, std::size_t block) {
  return static_cast<double>(std::min(s.cols, block) + s.cols / block + 3);
}

// Weights that bf16 holds, in panels: [panels][cols][16].
std::vector<float> draw_weights(const LinearShape& s, unsigned seed) {
  std::vector<float> values = draw_floats(panels_of(s.rows) * s.cols * kPanelRows, seed);
  for (float& value : values) value = bf16_to_f32(bf16_from_f32(value));
  return values;
}

std::vector<std::uint32_t> pairs_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> pairs(values.size() / 2);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const std::size_t lane = i % kPanelRows;
    const std::size_t k = i / kPanelRows * 2;
    pairs[i] = bf16_from_exact(values[k * kPanelRows + lane]) |
               static_cast<std::uint32_t>(bf16_from_exact(values[(k + 1) * kPanelRows + lane]))
                   << 16;
  }
  return pairs;
}

auto weight_in(const LinearShape& s, const std::vector<float>& values) {
  return [&](std::size_t r, std::size_t k) {
    return static_cast<double>(values[(r / kPanelRows * s.cols + k) * kPanelRows + r % kPanelRows]);
  };
}

// Protects: every level's product of dense bf16 and f32 weights equals the scalar one bit for bit,
// the scalar one equals f64 within the rounding of its sums, and none reads or writes outside its
// operands.
TEST(DenseLinear, EveryIsaEqualsScalar) {
  unsigned seed = 100;
  for (const LinearShape& s : random_shapes()) {
    ++seed;
    const std::size_t panels = panels_of(s.rows);
    const std::vector<float> values = draw_weights(s, seed);
    const std::vector<float> x = draw_floats(s.tokens * s.cols, seed + 1000);
    GuardedArray<std::uint32_t> guarded_pairs(pairs_of(values));
    GuardedArray<float> guarded_values(values);
    std::vector<float> want;
    for (const KernelTable& table : testable_tables()) {
      const auto narrow = run_linear(s, x, [&](const LinearIo& io) {
        table.bf16_linear({guarded_pairs.data(), s.rows, s.cols}, 0, panels, io);
      });
      const auto wide = run_linear(s, x, [&](const LinearIo& io) {
        table.f32_linear({guarded_values.data(), s.rows, s.cols}, 0, panels, io);
      });
      if (want.empty()) {
        want = narrow;
        EXPECT_LE(worst_rounding(s, x, narrow, weight_in(s, values)),
                  rounding_bound(s, kAccumulationBlock));
      }
      expect_same_bits(want, narrow, std::string(table.isa) + " bf16");
      expect_same_bits(want, wide, std::string(table.isa) + " f32");
    }
  }
}

// Protects: the same where activations are bf16, and more tokens than any level takes at once.
TEST(Bf16Products, EveryIsaEqualsScalar) {
  std::vector<LinearShape> shapes = random_shapes();
  shapes.insert(shapes.end(), {{40, 64, 16}, {48, 256, 32}, {35, 96, 47}, {16, 64, 133}});
  unsigned seed = 200;
  for (const LinearShape& s : shapes) {
    ++seed;
    const std::vector<float> values = draw_weights(s, seed);
    std::vector<float> x = draw_floats(s.tokens * s.cols, seed + 1000, 20);
    std::vector<std::uint16_t> rounded;
    for (float& value : x) {
      rounded.push_back(bf16_from_f32(value));
      value = bf16_to_f32(rounded.back());
    }
    GuardedArray<std::uint32_t> pairs(pairs_of(values));
    std::vector<float> want;
    for (const KernelTable& table : testable_tables()) {
      const auto got = run_linear(s, rounded, [&](const Bf16Io& io) {
        table.bf16_products({pairs.data(), s.rows, s.cols}, 0, panels_of(s.rows), io);
      });
      if (want.empty()) {
        want = got;
        EXPECT_LE(worst_rounding(s, x, got, weight_in(s, values)), rounding_bound(s, kBf16Block));
      }
      expect_same_bits(want, got, std::string(table.isa) + " of " + std::to_string(s.tokens));
    }
  }
}

// Protects: every level rounds to bf16 as base/dtype.h does, ties, infinities and NaN included.
TEST(Bf16Products, RoundsToNearest) {
  std::vector<float> x = draw_floats(64, 9, 100);
  const float special[] = {0.0f,      -0.0f,      1.00390625f, 1.01171875f, 3.4e38f, -3.4e38f,
                           HUGE_VALF, -HUGE_VALF, NAN,         1e-40f,      -1.0f};
  std::copy(std::begin(special), std::end(special), x.begin());
  GuardedArray<float> in(x);
  for (const KernelTable& table : testable_tables()) {
    GuardedArray<std::uint16_t> out(std::vector<std::uint16_t>(x.size()));
    table.round_to_bf16(in.data(), x.size(), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(out.data()[i], bf16_from_f32(x[i])) << table.isa << " of " << x[i];
    }
  }
}

// Protects: a panel's result does not depend on the range it is computed in or on its neighbours
// in a tile of tokens.
TEST(DenseLinear, TilesDoNotShow) {
  constexpr LinearShape kShape{112, 256, 11};
  const std::vector<float> values = draw_floats(7 * kShape.cols * kPanelRows, 5);
  const std::vector<float> x = draw_floats(kShape.tokens * kShape.cols, 6);
  const F32Panels w{values.data(), kShape.rows, kShape.cols};
  for (const KernelTable& table : testable_tables()) {
    std::vector<float> whole(kShape.tokens * kShape.rows);
    table.f32_linear(w, 0, 7, {x.data(), kShape.cols, whole.data(), kShape.rows, 11});
    std::vector<float> pieces(whole.size());
    for (std::size_t panel = 0; panel < 7; ++panel) {
      for (std::size_t t = 0; t < 11; ++t) {
        table.f32_linear(w, panel, panel + 1,
                         {x.data() + t * kShape.cols, kShape.cols, pieces.data() + t * kShape.rows,
                          kShape.rows, 1});
      }
    }
    expect_same_bits(whole, pieces, table.isa);
  }
}

// Protects: norm and activation agree on every level and equal f64 to a few units in the last
// place, far tails of exp included.
TEST(Elementwise, EveryIsaEqualsScalar) {
  for (const std::size_t n : {16u, 48u, 64u, 80u, 112u, 256u, 1536u}) {
    std::vector<float> x = draw_floats(n, 7, 3);
    x[0] = 120;
    x[1] = -120;
    x[2] = 0;
    x[3] = -87.5f;
    const std::vector<float> weight = draw_floats(n, 8);
    GuardedArray<float> in(x);
    GuardedArray<float> second(weight);
    std::vector<float> want_norm;
    std::vector<float> want_silu;
    for (const KernelTable& table : testable_tables()) {
      GuardedArray<float> norm(std::vector<float>(n, 0.0f));
      GuardedArray<float> silu(std::vector<float>(n, 0.0f));
      table.rms_norm(in.data(), second.data(), 1e-5f, n, norm.data());
      table.silu_mul(in.data(), second.data(), n, silu.data());
      if (want_norm.empty()) {
        want_norm = norm.values();
        want_silu = silu.values();
        double mean = 0;
        for (const float v : x) mean += static_cast<double>(v) * v / static_cast<double>(n);
        for (std::size_t i = 0; i < n; ++i) {
          const double xn = x[i] / std::sqrt(mean + 1e-5) * weight[i];
          EXPECT_NEAR(want_norm[i], xn, 1e-6 * std::abs(xn) + 1e-30) << i;
          const double sx = x[i] / (1 + std::exp(-static_cast<double>(x[i]))) * weight[i];
          EXPECT_NEAR(want_silu[i], sx, 1e-6 * std::abs(sx) + 1e-33) << i;
        }
      }
      expect_same_bits(want_norm, norm.values(), std::string(table.isa) + " rms_norm");
      expect_same_bits(want_silu, silu.values(), std::string(table.isa) + " silu_mul");
      GuardedArray<float> gate(x);
      GuardedArray<float> up(weight);
      table.silu_mul(gate.data(), second.data(), n, gate.data());
      table.silu_mul(in.data(), up.data(), n, up.data());
      expect_same_bits(want_silu, gate.values(), std::string(table.isa) + " silu_mul on gate");
      expect_same_bits(want_silu, up.values(), std::string(table.isa) + " silu_mul on up");
    }
  }
}

// Protects: the rotation and the residual sum have no contraction on any level: products are
// rounded before they are added.
TEST(Elementwise, PlainProductsAndSums) {
  constexpr std::size_t kHeads = 3;
  for (const std::size_t head_dim : {16u, 48u, 64u, 80u, 256u}) {
    const std::size_t n = kHeads * head_dim;
    const std::size_t half = head_dim / 2;
    const std::vector<float> x = draw_floats(n, 9);
    const std::vector<float> y = draw_floats(n, 10);
    std::vector<float> want_turned(n);
    std::vector<float> want_sum(n);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t d = i % head_dim;
      const float pair = d < half ? -x[i + half] : x[i - half];
      const volatile float product = pair * y[half + d % half];
      const volatile float own = x[i] * y[d % half];
      want_turned[i] = own + product;
      const volatile float scaled = 0.3f * y[i];
      want_sum[i] = x[i] + scaled;
    }
    GuardedArray<float> other(y);
    for (const KernelTable& table : testable_tables()) {
      GuardedArray<float> turned(x);
      GuardedArray<float> sum(x);
      table.rotate(other.data(), other.data() + half, kHeads, head_dim, turned.data());
      table.add_scaled(other.data(), 0.3f, n, sum.data());
      expect_same_bits(want_turned, turned.values(), std::string(table.isa) + " rotate");
      expect_same_bits(want_sum, sum.values(), std::string(table.isa) + " add_scaled");
    }
  }
}

// Protects: a level is what it says, unknown or missing ones are refused by name.
TEST(Dispatch, ForcesAndRefusesLevels) {
  const CpuFeatures none;
  EXPECT_STREQ(make_kernel_table(none, "auto")->isa, "scalar");
  EXPECT_STREQ(make_kernel_table(none, "scalar")->isa, "scalar");
  EXPECT_EQ(make_kernel_table(none, "mmx").error().code, Errc::kInvalid);
  EXPECT_NE(make_kernel_table(none, "mmx").error().message.find("'mmx'"), std::string::npos);
#if defined(__x86_64__)
  EXPECT_EQ(make_kernel_table(none, "avx2").error().code, Errc::kUnsupported);
  const CpuFeatures old{.avx2 = true};
  EXPECT_STREQ(make_kernel_table(old, "auto")->isa, "avx2");
  EXPECT_EQ(make_kernel_table(old, "avxvnni").error().code, Errc::kUnsupported);
  EXPECT_EQ(make_kernel_table(old, "avx512vnni").error().code, Errc::kUnsupported);
  const CpuFeatures client{.avx2 = true, .avxvnni = true};
  EXPECT_STREQ(make_kernel_table(client, "auto")->isa, "avxvnni");
  const CpuFeatures server{.avx2 = true, .avx512vnni = true};
  EXPECT_STREQ(make_kernel_table(server, "auto")->isa, "avx512vnni");
  EXPECT_EQ(make_kernel_table(server, "avxvnni").error().code, Errc::kUnsupported);
  EXPECT_EQ(make_kernel_table(server, "amx").error().code, Errc::kUnsupported);
  const CpuFeatures newest{.avx2 = true, .avx512vnni = true, .amx = true};
  EXPECT_STREQ(make_kernel_table(newest, "auto")->isa, "amx");
  EXPECT_STREQ(make_kernel_table(newest, "avx512vnni")->isa, "avx512vnni");
#elif defined(__aarch64__)
  EXPECT_EQ(make_kernel_table(none, "neon").error().code, Errc::kUnsupported);
  const CpuFeatures old{.neon = true};
  EXPECT_STREQ(make_kernel_table(old, "auto")->isa, "neon");
  EXPECT_EQ(make_kernel_table(old, "dotprod").error().code, Errc::kUnsupported);
  EXPECT_EQ(make_kernel_table(old, "i8mm").error().code, Errc::kUnsupported);
  const CpuFeatures newer{.neon = true, .dotprod = true, .i8mm = true};
  EXPECT_STREQ(make_kernel_table(newer, "dotprod")->isa, "dotprod");
  EXPECT_STREQ(make_kernel_table(newer, "auto")->isa, "i8mm");
#endif
}

// Protects: what this CPU runs is what it was said to be, where the environment says (tests/arm
// emulates several CPUs).
TEST(Dispatch, FindsTheLevelsOfAKnownCpu) {
  const char* expected = std::getenv("BITCPM_EXPECTED_LEVELS");
  if (expected == nullptr) GTEST_SKIP() << "BITCPM_EXPECTED_LEVELS is not set";
  const CpuFeatures cpu = detect_cpu_features();
  std::string levels;
  for (const std::string& level : runnable_levels(cpu)) {
    levels += (levels.empty() ? "" : " ") + level;
    EXPECT_EQ(make_kernel_table(cpu, level)->isa, level);
  }
  EXPECT_EQ(levels, expected);
}

}  // namespace
}  // namespace bitcpm::kernels
