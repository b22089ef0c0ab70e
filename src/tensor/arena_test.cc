#include "tensor/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bitcpm {
namespace {

// Protects: what fills a page begins on one, the rest on a cache line; all is zero, in order, and
// no two buffers share a byte, across the end of a chunk too.
TEST(Arena, AlignsAndSeparates) {
  constexpr std::size_t kMany = std::size_t{200} << 20;  // two do not fit in a chunk
  Arena arena;
  std::vector<Buffer> buffers;
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{64}, std::size_t{4095}, std::size_t{4096}, std::size_t{65},
        kMany, std::size_t{5000}, kMany, std::size_t{3}}) {
    buffers.push_back(arena.take(size));
    const Buffer& buffer = buffers.back();
    ASSERT_EQ(buffer.size(), size);
    const std::size_t alignment = size < 4096 ? 64 : 4096;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment, 0u) << size;
    const auto* bytes = buffer.as<std::uint8_t>();
    EXPECT_EQ(bytes[0] | bytes[size - 1], 0) << size;
    buffers.back().as<std::uint8_t>()[0] = buffers.back().as<std::uint8_t>()[size - 1] = 1;
  }
  std::vector<std::pair<const std::byte*, std::size_t>> places;
  for (const Buffer& buffer : buffers) places.emplace_back(buffer.data(), buffer.size());
  std::sort(places.begin(), places.end());
  for (std::size_t i = 1; i < places.size(); ++i) {
    EXPECT_LE(places[i - 1].first + places[i - 1].second, places[i].first);
  }
}

// Protects: nothing is no memory, and a chunk that came back as a whole is not kept for its rest.
TEST(Arena, GivesNothingForNothing) {
  Arena arena;
  EXPECT_EQ(arena.take(0).size(), 0u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(arena.take(std::size_t{100} << 20).as<char>()[0], 0);
}

}  // namespace
}  // namespace bitcpm
