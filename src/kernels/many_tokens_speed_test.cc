#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/test_levels.h"

namespace bitcpm::kernels {
namespace {

using Clock = std::chrono::steady_clock;

// 1,024 x 1,024 ternary weights, groups of 128, and activations of 8 bits: all in cache.
class CachedProduct {
 public:
  explicit CachedProduct(std::size_t tokens)
      : lines_(kSide * kSide / 4, 0x55),
        scales_(kSide * kGroups, 0x3f80),
        codes_(tokens * kPitch, 1),
        act_scales_(tokens * kGroups, 1),
        minus_sums_(tokens * kGroups),
        quads_(tokens * kSide / kQuadEvery),
        y_(tokens * kSide),
        tokens_(tokens) {}

  double seconds_per_token(const KernelTable& table) {
    const QuantizedRows x{
        codes_.data(), act_scales_.data(), minus_sums_.data(), quads_.data(), kPitch, kMostActGroup,
        kGroups,       ActForm::kInt8};
    const Clock::time_point start = Clock::now();
    table.ternary_fields({lines_.data(), scales_.data(), kSide, kSide, kMostActGroup}, 0,
                         kSide / kFieldRows, {x, tokens_, y_.data(), kSide});
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return seconds / static_cast<double>(tokens_);
  }

 private:
  static constexpr std::size_t kSide = 1024;
  static constexpr std::size_t kGroups = kSide / kMostActGroup;
  static constexpr std::size_t kPitch = 2 * kSide + 64;
  std::vector<std::uint8_t> lines_;
  std::vector<std::uint16_t> scales_;
  std::vector<std::int8_t> codes_;
  std::vector<float> act_scales_;
  std::vector<std::int32_t> minus_sums_;
  std::vector<std::uint8_t> quads_;
  std::vector<float> y_;
  std::size_t tokens_;
};

// Protects: levels that decode a weight once for many tokens gain by it (avxvnni gains little over
// a lone token, and levels of Arm are emulated). A compiler that moves their sums to memory changes
// no bit, and once made them cost more per token than a lone one.
TEST(ManyTokensSpeed, DecodingOncePays) {
  bool ran = false;
  for (const KernelTable& table : testable_tables()) {
    const std::string_view isa = table.isa;
    if (isa != "avx2" && isa != "avx512vnni" && isa != "amx") continue;
    ran = true;
    CachedProduct one(1);
    CachedProduct many(48);
    double lone = 1e9;
    double together = 1e9;
    for (int i = 0; i < 200; ++i) {
      lone = std::min(lone, one.seconds_per_token(table));
      together = std::min(together, many.seconds_per_token(table));
    }
    std::printf("%s: a token of 48 costs %.2f of a lone one\n", table.isa, together / lone);
    EXPECT_LE(together / lone, 0.8) << isa;
  }
  if (!ran) GTEST_SKIP() << "this CPU has none of avx2, avx512vnni and amx";
}

}  // namespace
}  // namespace bitcpm::kernels
