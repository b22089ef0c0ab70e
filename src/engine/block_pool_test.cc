#include "engine/block_pool.h"

#include <gtest/gtest.h>

#include <numeric>

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

BlockHash named(std::uint64_t name) { return {name, ~name}; }

// Protects: a published block outlives its holder and is taken up again by its hash; when room is
// needed, the block idle longest goes, and of one sequence the later block before the earlier.
TEST(BlockPool, RemembersFullBlocksUntilTheRoomIsNeeded) {
  BlockPool pool(4, 32);
  std::vector<std::int32_t> a;
  ASSERT_TRUE(pool.reserve(96, a));
  EXPECT_EQ(pool.publish(a[0], named(1)), a[0]);
  EXPECT_EQ(pool.publish(a[1], named(2)), a[1]);
  const std::vector<std::int32_t> had = a;
  pool.release(a);
  EXPECT_EQ(pool.used(), 0);
  EXPECT_EQ(pool.known(), 2);

  const BlockHash prefix[] = {named(1), named(2), named(3)};
  std::vector<std::int32_t> b;
  pool.take_known(prefix, b);
  EXPECT_EQ(b, (std::vector<std::int32_t>{had[0], had[1]}));
  EXPECT_EQ(pool.used(), 2);
  std::vector<std::int32_t> c;
  EXPECT_FALSE(pool.reserve(96, c)) << "what is held must not be given away";
  pool.release(b);
  ASSERT_TRUE(pool.reserve(96, c));
  EXPECT_TRUE(pool.knows(named(1)));
  EXPECT_FALSE(pool.knows(named(2)));
  pool.check_integrity();
}

// Protects: a block is free for others only when its last holder lets go.
TEST(BlockPool, CountsHolders) {
  BlockPool pool(2, 32);
  std::vector<std::int32_t> a;
  std::vector<std::int32_t> b;
  ASSERT_TRUE(pool.reserve(32, a));
  (void)pool.publish(a[0], named(1));
  const BlockHash prefix[] = {named(1)};
  pool.take_known(prefix, b);
  EXPECT_EQ(pool.holders(a[0]), 2);
  pool.release(a);
  EXPECT_EQ(pool.used(), 1);
  pool.release(b);
  EXPECT_EQ(pool.used(), 0);
  pool.check_integrity();
}

// Protects: the same content is kept once: who computed it a second time is handed the first.
TEST(BlockPool, PublishingAgainReturnsTheKnownBlock) {
  BlockPool pool(2, 32);
  std::vector<std::int32_t> a;
  std::vector<std::int32_t> b;
  ASSERT_TRUE(pool.reserve(32, a));
  ASSERT_TRUE(pool.reserve(32, b));
  (void)pool.publish(a[0], named(1));
  b[0] = pool.publish(b[0], named(1));
  EXPECT_EQ(b[0], a[0]);
  EXPECT_EQ(pool.used(), 1);
  EXPECT_EQ(pool.publish(a[0], named(1)), a[0]);
  pool.check_integrity();
}

// Protects: forgetting frees what is idle, leaves what is held, and finds nothing any more.
TEST(BlockPool, ForgetsAll) {
  BlockPool pool(3, 32);
  std::vector<std::int32_t> a;
  std::vector<std::int32_t> b;
  ASSERT_TRUE(pool.reserve(32, a));
  ASSERT_TRUE(pool.reserve(32, b));
  (void)pool.publish(a[0], named(1));
  (void)pool.publish(b[0], named(2));
  pool.release(a);
  pool.forget_all();
  EXPECT_FALSE(pool.knows(named(1)));
  EXPECT_FALSE(pool.knows(named(2)));
  EXPECT_EQ(pool.used(), 1);
  pool.check_integrity();
  pool.release(b);
  pool.check_integrity();
}

// Protects what vllm:kv_block_* mean: a life lasts from one handing out to the next, is idle since
// it was last taken up, and of its uses the last four count; forgetting ends no life; a share of 0
// records nothing.
TEST(BlockPool, RecordsResidency) {
  struct Case {
    const char* name;
    double share;
    std::vector<double> uses;  // seconds after the block was handed out
    bool forget;
    double lifetime, idle, gaps;
    std::int64_t num_gaps;
  };
  const Case kCases[] = {
      {"never used again", 1, {}, false, 100, 100, 0, 0},
      {"used once", 1, {30}, false, 100, 70, 0, 0},
      {"used three times", 1, {10, 30, 60}, false, 100, 40, 50, 2},
      {"more uses than are kept", 1, {1, 2, 10, 30, 60, 61}, false, 100, 39, 51, 3},
      {"forgotten", 1, {10, 30}, true, 0, 0, 0, 0},
      {"not followed", 0, {10, 30}, false, 0, 0, 0, 0},
  };
  for (const Case& c : kCases) {
    BlockPool pool(1, 32, c.share);
    std::vector<std::int32_t> blocks;
    pool.set_time(1000);
    ASSERT_TRUE(pool.reserve(32, blocks));
    (void)pool.publish(blocks[0], named(1));
    pool.release(blocks);
    const BlockHash prefix[] = {named(1)};
    for (const double use : c.uses) {
      pool.set_time(1000 + use);
      pool.take_known(prefix, blocks);
      ASSERT_EQ(blocks.size(), 1u) << c.name;
      pool.release(blocks);
    }
    if (c.forget) pool.forget_all();
    pool.set_time(1100);
    ASSERT_TRUE(pool.reserve(32, blocks));
    const BlockResidencyTotals& totals = pool.residency();
    EXPECT_EQ(totals.lifetime.sum, c.lifetime) << c.name;
    EXPECT_EQ(totals.idle_before_evict.sum, c.idle) << c.name;
    EXPECT_EQ(totals.reuse_gap.sum, c.gaps) << c.name;
    const auto& gaps = totals.reuse_gap.counts;
    EXPECT_EQ(std::accumulate(gaps.begin(), gaps.end(), std::int64_t{0}), c.num_gaps) << c.name;
  }
}

// Protects the sample: about the share that was asked for.
TEST(BlockPool, FollowsAShareOfTheBlocks) {
  BlockPool pool(1, 32, 0.25);
  std::vector<std::int32_t> blocks;
  for (int i = 0; i < 10000; ++i) {
    ASSERT_TRUE(pool.reserve(32, blocks));
    pool.release(blocks);
  }
  EXPECT_NEAR(static_cast<double>(pool.residency().lifetime.counts[0]), 2500, 200);
}

}  // namespace
}  // namespace bitcpm
