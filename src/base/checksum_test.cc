#include "base/checksum.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <vector>

namespace bitcpm {
namespace {

// Protects files written earlier: the function is XXH3-64 with seed 0 as published (the first value
// is in the reference implementation's own tests), and its spelling does not change.
TEST(Checksum, IsXxh3) {
  EXPECT_EQ(checksum_text(checksum({})), "2d06800538d394c2");
  const std::string text = "abc";
  EXPECT_EQ(checksum_text(checksum(std::as_bytes(std::span(text)))), "78af5f94892f3950");
}

TEST(Checksum, OneSpellingOnly) {
  EXPECT_EQ(parse_checksum("00000000000000ff"), 255u);
  for (const char* text : {"", "ff", "00000000000000FF", "0x000000000000ff", "-0000000000000ff",
                           "000000000000000ff", "00000000000000f ", "00000000000000fg"}) {
    EXPECT_FALSE(parse_checksum(text).has_value()) << text;
  }
}

// Protects loading: checking may not cost more than reading. The bound is a tenth of what is usual.
TEST(Checksum, IsFast) {
  const std::vector<std::byte> bytes(std::size_t{1} << 20);
  std::uint64_t sum = 0;
  double best = 1e9;
  for (int round = 0; round < 50; ++round) {
    const auto start = std::chrono::steady_clock::now();
    sum ^= checksum(bytes);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  std::printf("%.1f GB/s (%d)\n", 1e-9 * static_cast<double>(bytes.size()) / best, sum != 0);
  EXPECT_LT(best, static_cast<double>(bytes.size()) / 1e9);
}

}  // namespace
}  // namespace bitcpm
