#include "base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitcpm {
namespace {

// Protects: every one of the 65,536 halves widens to the value the format defines.
TEST(DType, F16WidensEveryValue) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const int exponent = static_cast<int>((bits >> 10) & 31);
    const int mantissa = static_cast<int>(bits & 1023);
    const double sign = bits & 0x8000 ? -1 : 1;
    const float got = f16_to_f32(static_cast<std::uint16_t>(bits));
    if (exponent == 31) {
      EXPECT_TRUE(mantissa != 0 ? std::isnan(got) : std::isinf(got)) << bits;
      continue;
    }
    const double want =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    EXPECT_EQ(got, static_cast<float>(sign * want)) << bits;
    EXPECT_EQ(std::signbit(got), sign < 0) << bits;
  }
}

// Protects: every bf16 survives widening and rounding back.
TEST(DType, Bf16RoundTrips) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float wide = bf16_to_f32(static_cast<std::uint16_t>(bits));
    EXPECT_TRUE(fits_bf16(wide));
    EXPECT_EQ(bf16_from_exact(wide), bits);
    if (std::isnan(wide)) continue;
    EXPECT_EQ(bf16_from_f32(wide), bits);
  }
}

// Protects: rounding up gives the value itself where bf16 holds it, else the next one.
TEST(DType, Bf16AtLeast) {
  for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const float wide = bf16_to_f32(static_cast<std::uint16_t>(bits));
    EXPECT_EQ(bf16_at_least(wide), bits);
    EXPECT_EQ(bf16_at_least(std::nextafter(wide, HUGE_VALF)), bits + 1);
  }
  EXPECT_EQ(bf16_at_least(HUGE_VALF), 0x7f80);
}

// Protects: rounding to bf16 is to nearest, ties to even.
TEST(DType, Bf16RoundsToNearestEven) {
  struct Case {
    float value;
    std::uint16_t want;
  };
  constexpr Case kCases[] = {
      {1.0f, 0x3f80},
      {1.00390625f, 0x3f80},                        // tie between 0x3f80 and 0x3f81: to even
      {1.01171875f, 0x3f82},                        // tie between 0x3f81 and 0x3f82: to even
      {1.00390637f, 0x3f81},                        // just above the tie
      {std::numeric_limits<float>::max(), 0x7f80},  // overflows to infinity
  };
  for (const Case& c : kCases) EXPECT_EQ(bf16_from_f32(c.value), c.want) << c.value;
  EXPECT_TRUE(std::isnan(bf16_to_f32(bf16_from_f32(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace bitcpm
