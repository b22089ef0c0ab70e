#include "engine/prefix_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace bitcpm {
namespace {

// Protects: a hash is found exactly while its block is in, whatever the order of comings and
// goings, and although every hash falls into one of few buckets. The model is a map.
TEST(PrefixIndex, AgreesWithAMap) {
  constexpr std::int32_t kBlocks = 13;
  PrefixIndex index(kBlocks);
  std::map<std::int32_t, std::uint64_t> model;  // block -> high half of its hash
  std::mt19937 rng(1);
  const auto hash_of = [](std::uint64_t name) { return BlockHash{name % 3, name}; };
  for (int i = 0; i < 20000; ++i) {
    const auto block = static_cast<std::int32_t>(rng() % kBlocks);
    if (model.contains(block)) {
      index.erase(block);
      model.erase(block);
    } else if (const std::uint64_t name = rng() % 64;
               index.find(hash_of(name)) == PrefixIndex::kNone) {
      index.insert(block, hash_of(name));
      model[block] = name;
    }
    ASSERT_EQ(index.size(), static_cast<std::int32_t>(model.size()));
    for (std::int32_t b = 0; b < kBlocks; ++b) ASSERT_EQ(index.contains(b), model.contains(b));
    for (const auto& [b, name] : model) ASSERT_EQ(index.find(hash_of(name)), b);
  }
  EXPECT_EQ(index.find(hash_of(1000)), PrefixIndex::kNone);
}

}  // namespace
}  // namespace bitcpm
