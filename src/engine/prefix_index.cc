#include "engine/prefix_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace bitcpm {

PrefixIndex::PrefixIndex(std::int32_t num_blocks)
    : entries_(static_cast<std::size_t>(num_blocks)),
      buckets_(std::bit_ceil(static_cast<std::size_t>(std::max(num_blocks, 1))), kNone) {}

std::int32_t PrefixIndex::find(const BlockHash& hash) const {
  std::int32_t block = buckets_[bucket_of(hash)];
  while (block != kNone && entry(block).hash != hash) block = entry(block).next;
  return block;
}

void PrefixIndex::insert(std::int32_t block, const BlockHash& hash) {
  BITCPM_CHECK(!contains(block) && find(hash) == kNone);
  std::int32_t& first = buckets_[bucket_of(hash)];
  entry(block) = {hash, first};
  first = block;
  ++size_;
}

void PrefixIndex::erase(std::int32_t block) {
  BITCPM_CHECK(contains(block));
  std::int32_t* link = &buckets_[bucket_of(entry(block).hash)];
  while (*link != block) link = &entry(*link).next;
  *link = entry(block).next;
  entry(block).next = kAbsent;
  --size_;
}

}  // namespace bitcpm
