#include "tensor/ternary_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace bitcpm {
namespace {

// A fake-quantised matrix with a scale of its own in every group, as f32.
std::vector<float> draw_ternary(std::int64_t rows, std::int64_t cols, std::int64_t group,
                                unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<float> values(static_cast<std::size_t>(rows * cols));
  float scale = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Distinct neighbours: consecutive bf16 values, so that no two groups merge by chance.
    if (i % static_cast<std::size_t>(group) == 0) {
      scale = bf16_to_f32(
          static_cast<std::uint16_t>(0x3c00 + (i / static_cast<std::size_t>(group)) % 97));
    }
    const int sign = static_cast<int>(rng() % 3) - 1;
    values[i] = static_cast<float>(sign) * scale;  // -1 * 0 never happens, -0.0 does: 0 * -s
    if (values[i] == 0 && rng() % 2 == 0) values[i] = -0.0f;
  }
  return values;
}

std::uint16_t f16_from_exact(float value) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float wide = f16_to_f32(static_cast<std::uint16_t>(bits));
    if (wide == value && std::signbit(wide) == std::signbit(value)) {
      return static_cast<std::uint16_t>(bits);
    }
  }
  return 0x7e00;
}

// Stores f32 values as `dtype`, at an odd address, as nothing in a checkpoint is aligned.
struct Stored {
  Stored(const std::vector<float>& values, DType dtype, std::int64_t rows, std::int64_t cols) {
    bytes.resize(1 + values.size() * dtype_bytes(dtype));
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::byte* out = bytes.data() + 1 + i * dtype_bytes(dtype);
      if (dtype == DType::kF32) {
        std::memcpy(out, &values[i], 4);
      } else {
        const std::uint16_t half =
            dtype == DType::kBf16 ? bf16_from_f32(values[i]) : f16_from_exact(values[i]);
        std::memcpy(out, &half, 2);
      }
    }
    matrix = {dtype, rows, cols, std::span<const std::byte>(bytes).subspan(1)};
  }
  std::vector<std::byte> bytes;
  StoredMatrix matrix;
};

std::vector<float> decode(const QuantizedMatrix& matrix) {
  std::vector<float> values(static_cast<std::size_t>(matrix.rows * matrix.cols));
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    decode_row(matrix, r,
               std::span<float>(values).subspan(static_cast<std::size_t>(r * matrix.cols),
                                                static_cast<std::size_t>(matrix.cols)));
  }
  return values;
}

class TernaryCodec : public ::testing::Test {
 protected:
  ThreadPool pool_{2};
};

// Protects: the largest true group is found, from every storage type, and nothing is lost.
TEST_F(TernaryCodec, FindsTheGroup) {
  struct Case {
    std::int64_t rows, cols, group;
  };
  constexpr Case kCases[] = {{5, 512, 32},    {5, 512, 64},  {130, 512, 128}, {5, 512, 256},
                             {5, 512, 512},   {3, 768, 256}, {3, 768, 768},   {1, 32, 32},
                             {3, 6144, 2048}, {7, 96, 96},   {7, 96, 32}};
  for (const Case& c : kCases) {
    for (const DType dtype : {DType::kBf16, DType::kF32}) {
      const auto values = draw_ternary(c.rows, c.cols, c.group, 1);
      const Stored stored(values, dtype, c.rows, c.cols);
      const auto encoded = encode_ternary(stored.matrix, pool_).value();
      EXPECT_EQ(encoded.not_ternary_because, "");
      EXPECT_EQ(encoded.matrix.form, WeightForm::kTernary);
      EXPECT_EQ(encoded.matrix.group, c.group) << c.cols;
      EXPECT_EQ(decode(encoded.matrix), values);  // -0 == 0
    }
  }
}

// Protects: f16 files, whose scales bf16 happens to hold, are ternary too.
TEST_F(TernaryCodec, ReadsHalfPrecision) {
  const auto values = draw_ternary(4, 128, 64, 2);
  const Stored stored(values, DType::kF16, 4, 128);
  const auto encoded = encode_ternary(stored.matrix, pool_).value();
  EXPECT_EQ(encoded.matrix.group, 64);
  EXPECT_EQ(decode(encoded.matrix), values);
}

// Protects: one group of one row decides for the tensor, whatever the other rows allow.
TEST_F(TernaryCodec, FinestRowDecides) {
  auto values = draw_ternary(8, 256, 256, 3);
  const auto fine = draw_ternary(1, 256, 64, 4);
  std::copy(fine.begin(), fine.end(), values.begin() + 5 * 256);
  const Stored stored(values, DType::kBf16, 8, 256);
  EXPECT_EQ(encode_ternary(stored.matrix, pool_)->matrix.group, 64);
}

// Protects: zeros explain nothing away: all-zero groups join any neighbour, all-zero matrices pack.
TEST_F(TernaryCodec, AllZeroGroups) {
  auto values = draw_ternary(4, 256, 128, 5);
  std::fill(values.begin() + 128, values.begin() + 256, 0.0f);
  std::fill(values.begin() + 300, values.begin() + 340, -0.0f);
  const Stored some(values, DType::kBf16, 4, 256);
  const auto encoded = encode_ternary(some.matrix, pool_).value();
  EXPECT_EQ(encoded.matrix.group, 128);
  EXPECT_EQ(decode(encoded.matrix), values);

  const std::vector<float> zeros(4 * 256, -0.0f);
  const Stored none(zeros, DType::kBf16, 4, 256);
  const auto empty = encode_ternary(none.matrix, pool_).value();
  EXPECT_EQ(empty.matrix.group, 256);
  EXPECT_EQ(decode(empty.matrix), zeros);
}

// Protects: anything that is not ternary is kept as it is, bit for bit, and named by place.
TEST_F(TernaryCodec, KeepsTheRestDense) {
  struct Case {
    const char* name;
    float value;  // planted into a ternary matrix at row 3, column 70
    DType dtype;
    WeightForm form;
    const char* reason;
  };
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Case kCases[] = {
      {"one altered weight", 0.5f, DType::kBf16, WeightForm::kBf16, "row 3, column"},
      {"next bf16 up", bf16_to_f32(0x3c01), DType::kBf16, WeightForm::kBf16, "row 3, column"},
      {"infinity", kInf, DType::kBf16, WeightForm::kBf16, "not a finite number"},
      {"an f32 value beyond bf16", 0.1f, DType::kF32, WeightForm::kF32, "row 3, column"},
  };
  for (const Case& c : kCases) {
    auto values = draw_ternary(6, 128, 128, 6);
    values[3 * 128 + 69] = values[0] != 0 ? std::abs(values[0]) : 0.0078125f;
    values[3 * 128 + 70] = c.value;
    const Stored stored(values, c.dtype, 6, 128);
    const auto encoded = encode_ternary(stored.matrix, pool_).value();
    EXPECT_EQ(encoded.matrix.form, c.form) << c.name;
    EXPECT_NE(encoded.not_ternary_because.find(c.reason), std::string::npos)
        << c.name << ": " << encoded.not_ternary_because;
    EXPECT_EQ(decode(encoded.matrix), values) << c.name;
  }
}

// Protects: latent (unquantised) weights are noticed, and the report does not depend on timing.
TEST_F(TernaryCodec, NoticesLatentWeights) {
  std::mt19937 rng(7);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> values(300 * 256);
  for (float& value : values) value = bf16_to_f32(bf16_from_f32(normal(rng)));
  const Stored stored(values, DType::kBf16, 300, 256);
  std::string first;
  for (int round = 0; round < 20; ++round) {
    const auto encoded = encode_ternary(stored.matrix, pool_).value();
    EXPECT_EQ(encoded.matrix.form, WeightForm::kBf16);
    if (round == 0) first = encoded.not_ternary_because;
    EXPECT_EQ(encoded.not_ternary_because, first);
  }
  EXPECT_EQ(first.rfind("row 0, column", 0), 0u) << first;
}

// Protects: a ternary f32 file whose scale bf16 cannot hold is not rounded into one.
TEST_F(TernaryCodec, NeverRoundsAScale) {
  std::vector<float> values(64, 0.1f);
  const Stored stored(values, DType::kF32, 1, 64);
  const auto encoded = encode_ternary(stored.matrix, pool_).value();
  EXPECT_EQ(encoded.matrix.form, WeightForm::kF32);
  EXPECT_NE(encoded.not_ternary_because.find("bf16 cannot hold"), std::string::npos);
  EXPECT_EQ(decode(encoded.matrix), values);
}

// Protects: in-features that no group of 32 divides stay dense instead of being mis-packed.
TEST_F(TernaryCodec, OddWidthsStayDense) {
  const std::vector<float> values(3 * 40, 0.5f);
  const Stored stored(values, DType::kBf16, 3, 40);
  const auto encoded = encode_ternary(stored.matrix, pool_).value();
  EXPECT_EQ(encoded.matrix.form, WeightForm::kBf16);
  EXPECT_EQ(decode(encoded.matrix), values);
}

}  // namespace
}  // namespace bitcpm
