#include "backend/cpu/head_screen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <utility>

#include "backend/cpu/exact_head.h"
#include "backend/cpu/field_layout.h"
#include "backend/cpu/head_weight.h"
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

// Rows of very different sizes, some twice, one all zero, one zero in a group.
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
      const bool zero = r == 77 || (r == 80 && k / 64 == 1);
      values[r * kCols + k] = bf16_from_f32(zero ? 0.0f : size * normal(rng));
    }
    if (r % 3 == 1) std::memcpy(values + r * kCols, values + (r / 2) * kCols, 2 * kCols);
  }
  return matrix;
}

enum class Kind { kFast, kExact };
constexpr Kind kKinds[] = {Kind::kFast, Kind::kExact};

struct Fixture {
  explicit Fixture(Kind kind) : Fixture(kind, make_matrix()) {}
  Fixture(Kind kind, QuantizedMatrix of) : matrix(std::move(of)) {
    weight = (kind == Kind::kFast ? HeadWeight::quantize(matrix, HeadBits::kEmbedding, arena, pool)
                                  : ExactHead::make(matrix, arena, pool))
                 .value();
    const CpuLinearInput::Forms forms{
        .floats = kind == Kind::kExact, .codes = true, .code_group = head().group()};
    input = CpuLinearInput::allocate(4, kCols, forms).value();
  }

  const ScreenedHead& head() const { return static_cast<const ScreenedHead&>(*weight); }
  CpuLinearInput& x() { return static_cast<CpuLinearInput&>(*input); }

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
      x().put(table, t, 0, TensorView::dense(values.data(), 1, kCols));
    }
  }

  std::vector<float> product(std::int64_t rows) {
    std::vector<float> logits(static_cast<std::size_t>(rows * kRows));
    head().multiply(table, 0, head().panels(), x(), 0,
                    TensorView::dense(logits.data(), rows, kRows));
    return logits;
  }

  ThreadPool pool{2};
  Arena arena;
  kernels::KernelTable table = best_table();
  QuantizedMatrix matrix;
  std::unique_ptr<PreparedWeight> weight;
  std::unique_ptr<LinearInput> input;
};

// Protects: no logit exceeds what the screen says of it, row by row, and that is not said of all.
TEST(HeadScreen, CeilingsHold) {
  for (const Kind kind : kKinds) {
    Fixture f(kind);
    for (unsigned seed = 0; seed < 8; ++seed) {
      f.fill(seed, seed % 2 == 0);
      std::vector<float> estimates(kRows);
      f.head().screen(f.table, 0, field_panels(kRows), f.x(),
                      TensorView::dense(estimates.data(), 1, kRows));
      const std::vector<float> logits = f.product(1);
      const float largest = *std::max_element(logits.begin(), logits.end());
      std::vector<float> norms(f.head().norm_count());
      f.head().find_norms(f.x(), 0, norms.data());
      int below = 0;
      for (std::size_t row = 0; row < kRows; ++row) {
        const std::size_t panel = row / kernels::kFieldRows;
        const std::size_t first = panel * kernels::kFieldRows;
        std::vector<float> alone(std::min(kernels::kFieldRows, kRows - first), -INFINITY);
        alone[row - first] = estimates[row];
        const float ceiling = f.head().ceiling(f.table, panel, norms.data(), alone);
        ASSERT_LE(logits[row], ceiling) << row;
        below += ceiling < largest ? 1 : 0;
      }
      EXPECT_GT(below, kRows / 2) << "the ceilings say nothing";
    }
  }
}

// What screening must give for one row: the `top` largest of `want`, ties included, bit for bit.
void expect_top(std::span<const float> got, std::span<const float> want, int top) {
  std::vector<float> sorted(want.begin(), want.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  for (std::size_t r = 0; r < want.size(); ++r) {
    if (got[r] == -INFINITY) {
      ASSERT_LT(want[r], sorted[static_cast<std::size_t>(top) - 1]);
    } else {
      ASSERT_EQ(std::memcmp(&got[r], &want[r], 4), 0);
    }
  }
}

// Protects: the k largest logits, ties included, are those of the full product bit for bit, for one
// to four rows, whether or not anything stands out.
TEST(HeadScreen, TopLogitsAreThoseOfTheProduct) {
  for (const Kind kind : kKinds) {
    Fixture f(kind);
    HeadScreen screen;
    for (unsigned seed = 0; seed < 40; ++seed) {
      f.fill(seed, seed % 3 != 0);
      const std::int64_t rows = 1 + seed % 4;
      const int top = seed % 5 == 0 ? 64 : 1 + static_cast<int>(seed % 7);
      const std::vector<float> full = f.product(rows);
      std::vector<float> got(full.size(), NAN);
      screen.top_logits(f.table, f.pool, f.head(), f.x(), top,
                        TensorView::dense(got.data(), rows, kRows));
      for (std::int64_t t = 0; t < rows; ++t) {
        expect_top({got.data() + t * kRows, kRows}, {full.data() + t * kRows, kRows}, top);
      }
    }
  }
}

// Protects: the screens prune even where no logit stands out, since they are off by less than
// logits differ, and more where one does. Panels are few here and each has large rows.
TEST(HeadScreen, ManyRowsAreNeverMultiplied) {
  constexpr unsigned kSeeds = 8;
  for (const Kind kind : kKinds) {
    for (const bool peaked : {false, true}) {
      Fixture f(kind);
      HeadScreen screen;
      std::ptrdiff_t spared = 0;
      for (unsigned seed = 0; seed < kSeeds; ++seed) {
        f.fill(seed, peaked);
        std::vector<float> got(kRows);
        screen.top_logits(f.table, f.pool, f.head(), f.x(), 1,
                          TensorView::dense(got.data(), 1, kRows));
        spared += std::count(got.begin(), got.end(), -INFINITY);
      }
      const double share = static_cast<double>(spared) / (kSeeds * static_cast<double>(kRows));
      EXPECT_GE(share, peaked ? 0.7 : 0.5) << "kind " << static_cast<int>(kind);
    }
  }
}

// Protects: NaN among the activations of one row is not screened away, and shows in no other row.
TEST(HeadScreen, NansOfActivationsAreKept) {
  for (const Kind kind : kKinds) {
    Fixture f(kind);
    HeadScreen screen;
    f.fill(3, true);
    const std::vector<float> full = f.product(1);
    std::vector<float> values(kCols, NAN);
    f.x().put(f.table, 1, 0, TensorView::dense(values.data(), 1, kCols));
    std::vector<float> got(2 * kRows);
    screen.top_logits(f.table, f.pool, f.head(), f.x(), 1, TensorView::dense(got.data(), 2, kRows));
    expect_top({got.data(), kRows}, full, 1);
    for (std::size_t r = kRows; r < got.size(); ++r) EXPECT_TRUE(std::isnan(got[r]));
  }
}

// Protects: rows whose weights are no numbers are multiplied, whatever the others promise, and
// leave them their places.
TEST(HeadScreen, NansOfWeightsAreKept) {
  constexpr std::int64_t kBroken = 123;
  for (const Kind kind : kKinds) {
    QuantizedMatrix matrix = make_matrix();
    std::fill_n(matrix.codes.as<std::uint16_t>() + kBroken * kCols, kCols / 2, bf16_from_f32(NAN));
    Fixture f(kind, std::move(matrix));
    HeadScreen screen;
    f.fill(3, true);
    const std::vector<float> full = f.product(1);
    std::vector<float> got(kRows);
    screen.top_logits(f.table, f.pool, f.head(), f.x(), 1, TensorView::dense(got.data(), 1, kRows));
    EXPECT_EQ(std::isnan(full[kBroken]), kind == Kind::kExact);
    EXPECT_TRUE(kind == Kind::kFast || std::isnan(got[kBroken]));
    const auto best = [](const std::vector<float>& logits) {
      float most = -INFINITY;
      for (const float logit : logits) most = std::max(most, std::isnan(logit) ? most : logit);
      return most;
    };
    EXPECT_EQ(best(got), best(full));
  }
}

// Protects: rows read back for embeddings are the stored values to 1/4000 of their group's largest.
TEST(HeadWeight, RowsReadBack) {
  Fixture f(Kind::kFast);
  const auto& head = static_cast<const HeadWeight&>(*f.weight);
  std::vector<float> row(kCols);
  for (std::int64_t r = 0; r < kRows; ++r) {
    head.copy_row(r, 2.0f, row.data());
    for (std::int64_t g = 0; g < kCols; g += head.group()) {
      float largest = 0;
      for (std::int64_t k = g; k < g + head.group(); ++k) {
        largest = std::max(largest, std::abs(value_of(f.matrix, r, k)));
      }
      for (std::int64_t k = g; k < g + head.group(); ++k) {
        const float error =
            std::abs(row[static_cast<std::size_t>(k)] / 2 - value_of(f.matrix, r, k));
        ASSERT_LE(error, largest / 1900) << r << ", " << k;
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm
