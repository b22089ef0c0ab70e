#include "backend/cpu/share_out.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <vector>

#include "backend/cpu/weight_order.h"

namespace bitcpm {
namespace {

// Protects: every item once, and what a thread was told to come next is what it does next.
TEST(ShareOutAhead, SaysWhatComesNext) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::size_t count : {0u, 1u, 2u, 7u, 300u}) {
      std::vector<std::atomic<int>> visits(count);
      std::vector<std::size_t> told(static_cast<std::size_t>(threads), count);
      std::atomic<int> surprises{0};
      share_out_ahead(pool, count, [&](std::size_t thread, std::size_t i, std::size_t next) {
        ++visits[i];
        if (i != thread && told[thread] != i) ++surprises;
        told[thread] = next;
      });
      for (const std::atomic<int>& visit : visits) EXPECT_EQ(visit, 1);
      EXPECT_EQ(surprises, 0);
      for (const std::size_t next : told) EXPECT_EQ(next, count);
    }
  }
}

// Protects: every item in one range, none empty; a thread's share is one stretch, in ranges that
// shrink from half of it.
TEST(ShareTapered, CoversEachShareInRangesThatShrink) {
  for (const int threads : {1, 2, 3, 16}) {
    ThreadPool pool(threads);
    for (const std::size_t count : {0u, 1u, 5u, 16u, 20u, 1148u}) {
      std::vector<int> visits(count);
      std::map<std::size_t, std::size_t> ranges;  // begin, length
      std::mutex mutex;
      share_tapered(pool, count, [&](std::size_t begin, std::size_t end) {
        EXPECT_LT(begin, end);
        const std::lock_guard lock(mutex);
        ranges[begin] = end - begin;
        for (std::size_t i = begin; i < end; ++i) ++visits[i];
      });
      for (const int visit : visits) EXPECT_EQ(visit, 1);
      const auto shares = static_cast<std::size_t>(threads);
      for (std::size_t share = 0; share < shares; ++share) {
        const std::size_t begin = count * share / shares;
        const std::size_t end = count * (share + 1) / shares;
        std::size_t before = (end - begin + 1) / 2;
        for (std::size_t at = begin; at < end; at += ranges[at]) {
          ASSERT_GT(ranges[at], 0u);
          EXPECT_LE(ranges[at], before + 1);  // of whole items
          if (at == begin) {
            EXPECT_GE(ranges[at] + 1, before);
          }
          before = ranges[at];
        }
      }
    }
  }
}

class NamedWeight final : public CpuWeight {
 public:
  explicit NamedWeight(std::size_t bytes) : stream_(bytes) {}
  std::int64_t rows() const override { return 0; }
  std::int64_t cols() const override { return 0; }
  std::size_t bytes() const override { return stream_.size(); }
  std::size_t panels() const override { return 0; }
  std::int64_t panel_rows() const override { return 16; }
  InputForm input_form() const override { return InputForm::kFloats; }
  std::span<const std::byte> stream() const override { return stream_; }
  void multiply(const kernels::KernelTable&, std::size_t, std::size_t, const CpuLinearInput&,
                std::int64_t, TensorView) const override {}
  void copy_row(std::int64_t, float, float*) const override {}

 private:
  std::vector<std::byte> stream_;
};

// Protects: the second pass knows what the first one did, the head is followed by the first layer,
// and an order that changes is learned anew.
TEST(WeightOrder, IsThatOfThePassBefore) {
  const NamedWeight a(1), b(2), head(3);
  WeightOrder order;
  for (const NamedWeight* weight : {&a, &b, &head}) EXPECT_TRUE(order.next_after(*weight).empty());
  EXPECT_EQ(order.next_after(a).size(), 2u);
  EXPECT_EQ(order.next_after(b).size(), 3u);
  EXPECT_EQ(order.next_after(head).size(), 1u);
  order.next_after(head);
  EXPECT_EQ(order.next_after(head).size(), 3u);
}

}  // namespace
}  // namespace bitcpm
