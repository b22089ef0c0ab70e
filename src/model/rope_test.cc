#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/rope_config.h"

namespace bitcpm {
namespace {

RopeConfig longrope() {
  RopeConfig rope;
  rope.theta = 10000;
  rope.short_factor = {1.0f, 2.0f, 4.0f, 8.0f};
  rope.long_factor = {1.5f, 3.0f, 9.0f, 27.0f};
  rope.original_max_position = 32768;
  rope.factor_follows_length = true;
  return rope;
}

// Protects: the angles at lengths up to and beyond the original one, against the equations in f64:
// angle_i(p) = p / (f_i * theta^(2 i / head_dim)), f the short list up to the original length and
// the long one beyond; both cos and sin times m = sqrt(1 + ln(s) / ln(original)), s = length /
// original. The list follows from the length alone: position 1 of a long server has long factors.
TEST(Rope, AnglesAreThoseOfTheEquations) {
  struct Case {
    std::int32_t length;
    bool is_long;
  };
  for (const Case& c : {Case{2048, false}, Case{32768, false}, Case{32769, true}, Case{65536, true},
                        Case{131072, true}}) {
    const RopeConfig config = rope_for_positions(longrope(), std::max(c.length, 32768));
    const Rope rope(config, 8, c.length);
    const double s = std::max(1.0, c.length / 32768.0);
    const double m = std::sqrt(1 + std::log(s) / std::log(32768.0));
    for (const std::int32_t position : {0, 1, 17, 2047, c.length - 1}) {
      float cos[4], sin[4];
      rope.angles(position, cos, sin);
      for (std::size_t i = 0; i < 4; ++i) {
        const double factor = c.is_long ? config.long_factor[i] : config.short_factor[i];
        const double frequency = 1 / (factor * std::pow(10000.0, 2.0 * static_cast<double>(i) / 8));
        const double angle = position * frequency;
        // The angle is rounded to f32 where Hugging Face rounds it: half of 2^-23 of it, twice.
        const double tolerance = m * (angle * 0x1p-22 + 1e-6);
        EXPECT_NEAR(cos[i], m * std::cos(angle), tolerance) << c.length << ' ' << position;
        EXPECT_NEAR(sin[i], m * std::sin(angle), tolerance) << c.length << ' ' << position;
      }
    }
  }
}

// Protects: a factor that the checkpoint states stays as stated, at any length.
TEST(Rope, AStatedAttentionFactorStays) {
  RopeConfig stated = longrope();
  stated.factor_follows_length = false;
  stated.attention_factor = 1.25f;
  EXPECT_EQ(rope_for_positions(stated, 131072).attention_factor, 1.25f);
  EXPECT_EQ(rope_for_positions(longrope(), 32768).attention_factor, 1.0f);
}

}  // namespace
}  // namespace bitcpm
