#include "backend/cpu/cpu_linear.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/field_weight.h"
#include "backend/cpu/panel_weight.h"
#include "base/dtype.h"
#include "kernels/dispatch.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kCols = 64;
constexpr std::int64_t kMostTokens = 129;

QuantizedMatrix random_matrix(WeightForm form, std::int64_t rows, unsigned seed) {
  QuantizedMatrix matrix;
  matrix.form = form;
  matrix.rows = rows;
  matrix.cols = kCols;
  const auto count = static_cast<std::size_t>(rows * kCols);
  std::mt19937 rng(seed);
  if (form == WeightForm::kTernary) {
    matrix.group = 32;
    matrix.codes = Buffer::allocate(count / 4);
    auto* codes = matrix.codes.as<std::uint8_t>();
    for (std::size_t i = 0; i < 4 * matrix.codes.size(); ++i) {
      codes[i / 4] = static_cast<std::uint8_t>(codes[i / 4] | rng() % 3 << i % 4 * 2);
    }
    matrix.scales = Buffer::allocate(count / 32 * 2);
    auto* scales = matrix.scales.as<std::uint16_t>();
    for (std::size_t i = 0; i < count / 32; ++i) {
      scales[i] = bf16_from_f32(static_cast<float>(1 + rng() % 99) / 512);
    }
    return matrix;
  }
  matrix.codes = Buffer::allocate(count * 2);
  std::normal_distribution<float> normal(0, 0.1f);
  for (std::size_t i = 0; i < count; ++i) {
    matrix.codes.as<std::uint16_t>()[i] = bf16_from_f32(normal(rng));
  }
  return matrix;
}

// Rows of activations in every form, codes in groups of 32.
std::unique_ptr<LinearInput> make_input(std::int64_t cols) {
  return CpuLinearInput::allocate(kMostTokens, cols, {.floats = true, .bf16 = true, .codes = true})
      .value();
}
CpuLinearInput& cpu(const std::unique_ptr<LinearInput>& input) {
  return static_cast<CpuLinearInput&>(*input);
}

class Gated {
 public:
  Gated(WeightForm gate, WeightForm up, std::int64_t width, int threads)
      : pool_(threads), gate_(pack(gate, width, 1)), up_(pack(up, width, 2)), width_(width) {
    std::mt19937 rng(3);
    std::normal_distribution<float> normal(0, 1);
    std::vector<float> values(kMostTokens * kCols);
    for (float& value : values) value = normal(rng);
    cpu(input_).put(table_, 0, 0, TensorView::dense(values.data(), kMostTokens, kCols));
  }

  std::unique_ptr<LinearInput> fused(std::int64_t tokens) {
    auto out = make_input(width_);
    multiply_gated(table_, pool_, cpu(input_), tokens,
                   {static_cast<const CpuWeight&>(*gate_), static_cast<const CpuWeight&>(*up_)},
                   cpu(out));
    return out;
  }

  // Step by step, over whole rows.
  std::unique_ptr<LinearInput> one_by_one(std::int64_t tokens) {
    std::vector<float> gate = product(*gate_, tokens);
    const std::vector<float> up = product(*up_, tokens);
    table_.silu_mul(gate.data(), up.data(), gate.size(), gate.data());
    auto out = make_input(width_);
    cpu(out).put(table_, 0, 0, TensorView::dense(gate.data(), tokens, width_));
    return out;
  }

 private:
  std::unique_ptr<PreparedWeight> pack(WeightForm form, std::int64_t width, unsigned seed) {
    const QuantizedMatrix matrix = random_matrix(form, width, seed);
    if (form == WeightForm::kTernary) return FieldWeight::pack(matrix, arena_, pool_).value();
    return PanelWeight::pack(matrix, true, arena_, pool_).value();
  }

  std::vector<float> product(const PreparedWeight& weight, std::int64_t tokens) {
    std::vector<float> out(static_cast<std::size_t>(tokens * width_));
    const LinearTarget target{&weight, TensorView::dense(out.data(), tokens, width_)};
    multiply(table_, pool_, cpu(input_), {&target, 1});
    return out;
  }

  kernels::KernelTable table_ =
      kernels::make_kernel_table(kernels::detect_cpu_features(), "auto").value();
  Arena arena_;
  ThreadPool pool_;
  std::unique_ptr<PreparedWeight> gate_, up_;
  std::int64_t width_;
  std::unique_ptr<LinearInput> input_ = make_input(kCols);
};

void expect_same_row(CpuLinearInput& want, CpuLinearInput& got, std::int64_t t,
                     std::int64_t width) {
  const auto cols = static_cast<std::size_t>(width);
  const std::size_t groups = cols / 32;
  const std::size_t bf16_row = static_cast<std::size_t>(t) * CpuLinearInput::bf16_pitch(cols);
  const kernels::QuantizedRows a = want.quantized_from(t);
  const kernels::QuantizedRows b = got.quantized_from(t);
  EXPECT_EQ(std::memcmp(want.row(t), got.row(t), cols * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(want.bf16_values() + bf16_row, got.bf16_values() + bf16_row, cols * 2), 0);
  EXPECT_EQ(std::memcmp(a.codes, b.codes, 2 * cols), 0);
  EXPECT_EQ(std::memcmp(a.scales, b.scales, groups * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(a.minus_sums, b.minus_sums, groups * sizeof(std::int32_t)), 0);
  EXPECT_EQ(std::memcmp(a.lines, b.lines, groups), 0);
}

// Protects: gate, up and SiLU in pieces give the bits of whole products, for pieces of one block of
// rows and of several, cut ones at the end, and panels of either height.
TEST(MultiplyGated, PiecesShowInNoBit) {
  constexpr WeightForm kTernary = WeightForm::kTernary;
  constexpr WeightForm kBf16 = WeightForm::kBf16;
  const struct {
    WeightForm gate, up;
    std::int64_t width;
    int threads;
  } cases[] = {
      {kTernary, kTernary, 96, 2},         {kTernary, kTernary, 160, 1},
      {kTernary, kTernary, 128 * 33, 2},   {kTernary, kTernary, 128 * 20 + 96, 1},
      {kTernary, kBf16, 128 * 40 + 32, 2}, {kBf16, kBf16, 128 * 17 + 32, 1},
  };
  for (const auto& c : cases) {
    Gated gated(c.gate, c.up, c.width, c.threads);
    for (const std::int64_t tokens : {1, 2, 3, 21, 22, 33, 64, 65, 129}) {
      SCOPED_TRACE(std::to_string(c.width) + " wide, tokens " + std::to_string(tokens));
      const auto want = gated.one_by_one(tokens);
      const auto got = gated.fused(tokens);
      for (std::int64_t t = 0; t < tokens; ++t) {
        expect_same_row(cpu(want), cpu(got), t, c.width);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm
