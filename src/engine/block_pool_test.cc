#include "engine/block_pool.h"

#include <gtest/gtest.h>

namespace bitcpm {
namespace {

// Protects: a reservation is all or nothing, grows in place and gives every block back once.
TEST(BlockPool, ReservesAllOrNothing) {
  BlockPool pool(4, 32);
  std::vector<std::int32_t> a;
  std::vector<std::int32_t> b;
  EXPECT_TRUE(pool.reserve(1, a));
  EXPECT_EQ(a.size(), 1u);
  EXPECT_TRUE(pool.reserve(32, a));
  EXPECT_EQ(a.size(), 1u);
  EXPECT_TRUE(pool.reserve(33, a));
  EXPECT_EQ(a.size(), 2u);
  EXPECT_FALSE(pool.reserve(97, b));
  EXPECT_TRUE(b.empty());
  EXPECT_TRUE(pool.reserve(64, b));
  EXPECT_EQ(pool.used(), 4);
  EXPECT_FALSE(pool.reserve(65, a));
  EXPECT_EQ(a.size(), 2u);
  pool.check_integrity();
  pool.release(a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(pool.used(), 2);
  pool.check_integrity();
}

// Protects: giving a block back twice is noticed, not turned into two owners later.
TEST(BlockPoolDeathTest, DoubleReleaseAborts) {
  BlockPool pool(2, 32);
  std::vector<std::int32_t> blocks;
  ASSERT_TRUE(pool.reserve(64, blocks));
  std::vector<std::int32_t> copy = blocks;
  pool.release(blocks);
  EXPECT_DEATH(pool.release(copy), "check failed");
}

}  // namespace
}  // namespace bitcpm
