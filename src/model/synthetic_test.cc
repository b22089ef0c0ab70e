#include "model/synthetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/dtype.h"
#include "io/model_config.h"

namespace bitcpm {
namespace {

std::vector<std::uint16_t> fill(const TensorSlot& tensor, std::uint64_t seed, std::int64_t group,
                                std::int64_t row_begin, std::int64_t rows) {
  std::vector<std::uint16_t> out(static_cast<std::size_t>(rows * tensor.cols));
  fill_synthetic(tensor, seed, group, row_begin, out);
  return out;
}

const TensorSlot kProjection{"model.layers.0.mlp.up_proj.weight", SlotKind::kProjection, 64, 1024};

std::set<std::uint16_t> magnitudes(std::span<const std::uint16_t> values) {
  std::set<std::uint16_t> found;
  for (const std::uint16_t value : values) {
    if (value & 0x7fff) found.insert(value & 0x7fff);
  }
  return found;
}

// Protects the shapes: parameter counts are those of the published files.
TEST(Synthetic, ParameterCountsAreThePublishedOnes) {
  struct Case {
    const char* name;
    std::int64_t parameters;
  };
  constexpr Case kCases[] = {
      {"minicpm4-0.5b", 433'873'920},    {"bitcpm4-0.5b", 433'873'920},
      {"bitcpm4-1b", 1'360'258'560},     {"minicpm4-8b", 8'185'253'888},
      {"bitcpm-cann-3b", 3'605'834'240}, {"bitcpm-cann-8b", 8'185'253'888},
  };
  for (const Case& c : kCases) {
    const SyntheticShape* shape = find_synthetic_shape(c.name);
    ASSERT_NE(shape, nullptr) << c.name;
    std::int64_t parameters = 0;
    for (const TensorSlot& tensor : synthetic_tensors(*shape)) {
      parameters += tensor.rows * tensor.cols;
    }
    EXPECT_EQ(parameters, c.parameters) << c.name;
  }
}

// Protects ternary discovery's food: in a group one magnitude, between groups different ones.
TEST(Synthetic, GroupsHaveOneScaleEach) {
  for (const std::int64_t group : {32L, 64L, 128L, 256L, kSyntheticGroupRow}) {
    const auto width = static_cast<std::size_t>(group == kSyntheticGroupRow ? 1024 : group);
    const auto values = fill(kProjection, 0, group, 0, kProjection.rows);
    std::size_t groups = 0;
    std::size_t same_as_before = 0;
    std::set<std::uint16_t> before;
    for (std::size_t begin = 0; begin < values.size(); begin += width, ++groups) {
      std::set<std::uint16_t> scale = magnitudes(std::span(values).subspan(begin, width));
      ASSERT_EQ(scale.size(), 1u) << group;
      same_as_before += scale == before;
      before = std::move(scale);
    }
    EXPECT_LT(same_as_before, groups / 8) << group;
  }
}

// Protects the published form: a third zeros of either sign, signs balanced.
TEST(Synthetic, TernaryValuesAreBalanced) {
  const auto values = fill(kProjection, 0, 128, 0, kProjection.rows);
  const auto share = [&](auto&& predicate) {
    return static_cast<double>(std::count_if(values.begin(), values.end(), predicate)) /
           static_cast<double>(values.size());
  };
  EXPECT_NEAR(share([](std::uint16_t v) { return v == 0; }), 0.164, 0.01);
  EXPECT_NEAR(share([](std::uint16_t v) { return v == 0x8000; }), 0.164, 0.01);
  EXPECT_NEAR(share([](std::uint16_t v) { return v > 0 && v < 0x8000; }), 0.336, 0.01);
}

// Protects reproducibility: pinned bits, whatever the machine, and other bits for another seed or
// tensor.
TEST(Synthetic, SeedAndNameDecideTheBits) {
  const auto hash = [](std::span<const std::uint16_t> values) {
    std::uint64_t h = 0;
    for (const std::uint16_t value : values) h = h * 0x100000001b3 + value;
    return h;
  };
  TensorSlot renamed = kProjection;
  renamed.name = "model.layers.1.mlp.up_proj.weight";
  const auto base = hash(fill(kProjection, 0, 128, 0, 64));
  EXPECT_EQ(base, 16888022232142030565u);
  EXPECT_EQ(hash(fill(kProjection, 0, kSyntheticPlain, 0, 64)), 18138096865654692441u);
  EXPECT_NE(base, hash(fill(kProjection, 1, 128, 0, 64)));
  EXPECT_NE(base, hash(fill(renamed, 0, 128, 0, 64)));
}

// Protects independence of the split: rows made alone equal rows made together.
TEST(Synthetic, RowRangesAgree) {
  for (const std::int64_t group : {std::int64_t{128}, kSyntheticPlain}) {
    const auto whole = fill(kProjection, 7, group, 0, kProjection.rows);
    for (const std::int64_t row : {0, 1, 37, 63}) {
      const auto one = fill(kProjection, 7, group, row, 1);
      EXPECT_TRUE(std::equal(one.begin(), one.end(), whole.begin() + row * kProjection.cols));
    }
  }
}

// Protects sane activations: a unit-variance input leaves every projection with deviation near 1.
TEST(Synthetic, ProjectionsKeepTheScaleOfTheirInput) {
  for (const std::int64_t group : {std::int64_t{128}, kSyntheticGroupRow, kSyntheticPlain}) {
    double energy = 0;
    for (const std::uint16_t value : fill(kProjection, 0, group, 0, kProjection.rows)) {
      energy += std::pow(bf16_to_f32(value), 2);
    }
    EXPECT_NEAR(std::sqrt(energy / static_cast<double>(kProjection.rows)), 1.15, 0.1) << group;
  }
}

// Protects the configs: our own reader accepts each of them and reads the shape back.
TEST(Synthetic, ConfigsParse) {
  for (const SyntheticShape& shape : synthetic_shapes()) {
    const auto config =
        parse_model_config(synthetic_config_json(shape), synthetic_generation_config_json());
    ASSERT_TRUE(config.ok()) << shape.name << ": " << config.error().message;
    EXPECT_EQ(config->head_dim, shape.head_dim) << shape.name;
    EXPECT_EQ(config->tie_word_embeddings, shape.tie_word_embeddings) << shape.name;
    EXPECT_EQ(config->embedding_scale, shape.llama ? 1.0f : 12.0f) << shape.name;
    EXPECT_EQ(config->eos_token_ids, (std::vector<TokenId>{2, kSyntheticFirstAddedToken}));
    ASSERT_EQ(config->rope.short_factor.size(), static_cast<std::size_t>(shape.head_dim) / 2);
    EXPECT_EQ(config->rope.attention_factor, 1.0f) << shape.name;
    // First and last published factors.
    EXPECT_FLOAT_EQ(config->rope.short_factor.front(),
                    shape.head_dim == 64 ? 1.0004360675811768 : 0.9977997200264581);
    EXPECT_FLOAT_EQ(config->rope.short_factor.back(),
                    shape.head_dim == 64 ? 49.85338592529297 : 31.02392307921529);
  }
}

}  // namespace
}  // namespace bitcpm
