#include "backend/cpu/head_screen.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/dtype.h"
#include "kernels/dispatch.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kRows = 1000;  // the last panel is not full
constexpr std::int64_t kCols = 192;

kernels::KernelTable best_table() {
  return kernels::make_kernel_table(kernels::detect_cpu_features(), "auto").value();
}

float value_of(const QuantizedMatrix& matrix, std::int64_t row, std::int64_t k) {
  return bf16_to_f32(matrix.codes.as<std::uint16_t>()[row * kCols + k]);
}

// Rows of very different sizes, some twice, one all zero.
QuantizedMatrix make_matrix() {
  QuantizedMatrix matrix;
  matrix.rows = kRows;
  matrix.cols = kCols;
  matrix.codes = Buffer::allocate(static_cast<std::size_t>(kRows * kCols) * 2);
  std::mt19937 rng(5);
  std::normal_distribution<float> normal(0, 1);
  auto* values = matrix.codes.as<std::uint16_t>();
  for (std::int64_t r = 0; r < kRows; ++r) {
    const float size = std::ldexp(0.02f, static_cast<int>(rng() % 4));
    for (std::int64_t k = 0; k < kCols; ++k) {
      values[r * kCols + k] = bf16_from_f32(r == 77 ? 0.0f : size * normal(rng));
    }
    if (r % 3 == 1) std::memcpy(values + r * kCols, values + (r / 2) * kCols, 2 * kCols);
  }
  return matrix;
}

struct Fixture {
  ThreadPool pool{2};
  Arena arena;
  kernels::KernelTable table = best_table();
  QuantizedMatrix matrix = make_matrix();
  std::unique_ptr<PreparedWeight> weight = HeadWeight::quantize(matrix, true, arena, pool).value();
  const HeadWeight& head = static_cast<const HeadWeight&>(*weight);
  std::unique_ptr<LinearInput> input = CpuLinearInput::allocate(4, kCols, {.codes = true}).value();
  CpuLinearInput& x = static_cast<CpuLinearInput&>(*input);

  // Rows that point towards some weights, so that a few logits stand out, or nowhere.
  void fill(unsigned seed, bool peaked) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal(0, 1);
    for (std::int64_t t = 0; t < 4; ++t) {
      const auto towards = static_cast<std::int64_t>(rng() % kRows);
      std::vector<float> values;
      for (std::int64_t k = 0; k < kCols; ++k) {
        values.push_back(normal(rng) * 0.1f + (peaked ? 30 * value_of(matrix, towards, k) : 0.0f));
      }
      x.put(table, t, 0, values.data(), kCols);
    }
  }
};

// Protects: no screened score is further from its logit than its bound says.
TEST(HeadScreen, BoundsHold) {
  Fixture f;
  for (unsigned seed = 0; seed < 8; ++seed) {
    f.fill(seed, seed % 2 == 0);
    std::vector<float> scores(kRows);
    std::vector<float> logits(kRows);
    f.head.screen(f.table, 0, f.head.panels(), f.x, TensorView::dense(scores.data(), 1, kRows));
    f.head.multiply(f.table, 0, f.head.panels(), f.x, 0,
                    TensorView::dense(logits.data(), 1, kRows));
    std::vector<float> norms;
    for (std::int64_t g = 0; g < kCols / f.head.group(); ++g) {
      double squares = 0;
      for (std::int64_t k = g * f.head.group(); k < (g + 1) * f.head.group(); ++k) {
        squares += std::pow(code_value(f.x.quantized_from(0), static_cast<std::size_t>(k)), 2);
      }
      norms.push_back(static_cast<float>(std::sqrt(squares)) * 1.000001f);
    }
    float closest = 1;
    for (std::int64_t r = 0; r < kRows; ++r) {
      float bounds[kernels::kFieldRows];
      const auto row = static_cast<std::size_t>(r);
      f.head.bounds(f.table, row / kernels::kFieldRows, norms.data(), bounds);
      const float bound = bounds[row % kernels::kFieldRows];
      ASSERT_LE(std::abs(scores[row] - logits[row]), bound) << r;
      if (r != 77) closest = std::min(closest, 1 - std::abs(scores[row] - logits[row]) / bound);
    }
    EXPECT_LT(closest, 0.9f) << "the bounds say nothing";
  }
}

// Protects: the k largest logits, ties included, are those of the full product bit for bit, for one
// to four rows, whether or not anything stands out.
TEST(HeadScreen, TopLogitsAreThoseOfTheProduct) {
  Fixture f;
  HeadScreen screen;
  for (unsigned seed = 0; seed < 40; ++seed) {
    f.fill(seed, seed % 3 != 0);
    const std::int64_t rows = 1 + seed % 4;
    const int top = seed % 5 == 0 ? 64 : 1 + static_cast<int>(seed % 7);
    std::vector<float> full(static_cast<std::size_t>(rows * kRows));
    std::vector<float> got(full.size(), NAN);
    f.head.multiply(f.table, 0, f.head.panels(), f.x, 0,
                    TensorView::dense(full.data(), rows, kRows));
    screen.top_logits(f.table, f.pool, f.head, f.x, top,
                      TensorView::dense(got.data(), rows, kRows));
    for (std::int64_t t = 0; t < rows; ++t) {
      const std::span<const float> want(full.data() + t * kRows, kRows);
      std::vector<float> sorted(want.begin(), want.end());
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      for (std::int64_t r = 0; r < kRows; ++r) {
        const float value = got[static_cast<std::size_t>(t * kRows + r)];
        const float expected = want[static_cast<std::size_t>(r)];
        if (value == -INFINITY) {
          ASSERT_LT(expected, sorted[static_cast<std::size_t>(top) - 1]);
        } else {
          ASSERT_EQ(std::memcmp(&value, &expected, 4), 0);
        }
      }
    }
  }
}

// Protects: rows read back for embeddings are the stored values to 1/4000 of their group's largest.
TEST(HeadWeight, RowsReadBack) {
  Fixture f;
  std::vector<float> row(kCols);
  for (std::int64_t r = 0; r < kRows; ++r) {
    f.head.copy_row(r, 2.0f, row.data());
    for (std::int64_t g = 0; g < kCols; g += f.head.group()) {
      float largest = 0;
      for (std::int64_t k = g; k < g + f.head.group(); ++k) {
        largest = std::max(largest, std::abs(value_of(f.matrix, r, k)));
      }
      for (std::int64_t k = g; k < g + f.head.group(); ++k) {
        const float error =
            std::abs(row[static_cast<std::size_t>(k)] / 2 - value_of(f.matrix, r, k));
        ASSERT_LE(error, largest / 1900) << r << ", " << k;
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm
