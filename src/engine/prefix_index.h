#pragma once

#include <cstdint>
#include <vector>

#include "engine/block_hash.h"

namespace bitcpm {

// Which block holds which hash: at most one each way. A hash table whose chains run through the
// blocks themselves, so that it never allocates after its construction. Not thread-safe.
class PrefixIndex {
 public:
  static constexpr std::int32_t kNone = -1;

  explicit PrefixIndex(std::int32_t num_blocks);

  std::int32_t find(const BlockHash& hash) const;  // its block, or kNone
  bool contains(std::int32_t block) const { return entry(block).next != kAbsent; }
  void insert(std::int32_t block, const BlockHash& hash);  // both must be absent
  void erase(std::int32_t block);                          // must be present
  std::int32_t size() const { return size_; }

 private:
  static constexpr std::int32_t kAbsent = -2;
  struct Entry {
    BlockHash hash;
    std::int32_t next = kAbsent;  // in the chain of its bucket; kNone ends it
  };

  const Entry& entry(std::int32_t block) const { return entries_[static_cast<std::size_t>(block)]; }
  Entry& entry(std::int32_t block) { return entries_[static_cast<std::size_t>(block)]; }
  std::size_t bucket_of(const BlockHash& hash) const {
    return static_cast<std::size_t>(hash.low) & (buckets_.size() - 1);
  }

  std::vector<Entry> entries_;         // by block
  std::vector<std::int32_t> buckets_;  // a power of two; each the first block of its chain
  std::int32_t size_ = 0;
};

}  // namespace bitcpm
