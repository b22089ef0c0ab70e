#include "engine/block_pool.h"

#include <algorithm>

#include "base/check.h"

namespace bitcpm {

BlockPool::BlockPool(std::int32_t num_blocks, std::int32_t block_tokens)
    : block_tokens_(block_tokens), owned_(static_cast<std::size_t>(num_blocks), false) {
  BITCPM_CHECK(num_blocks >= 0 && block_tokens > 0);
  free_.reserve(owned_.size());
  for (std::int32_t id = num_blocks; id > 0; --id) free_.push_back(id - 1);
}

bool BlockPool::reserve(std::int32_t tokens, std::vector<std::int32_t>& blocks) {
  const auto want = static_cast<std::size_t>(blocks_for(tokens));
  if (want <= blocks.size()) return true;
  if (want - blocks.size() > free_.size()) return false;
  while (blocks.size() < want) {
    const std::int32_t id = free_.back();
    free_.pop_back();
    owned_[static_cast<std::size_t>(id)] = true;
    blocks.push_back(id);
  }
  return true;
}

void BlockPool::release(std::vector<std::int32_t>& blocks) {
  for (auto id = blocks.rbegin(); id != blocks.rend(); ++id) {
    BITCPM_CHECK(owned_[static_cast<std::size_t>(*id)]);
    owned_[static_cast<std::size_t>(*id)] = false;
    free_.push_back(*id);
  }
  blocks.clear();
}

void BlockPool::check_integrity() const {
  std::vector<bool> is_free(owned_.size(), false);
  for (const std::int32_t id : free_) {
    BITCPM_CHECK(!is_free[static_cast<std::size_t>(id)]);
    BITCPM_CHECK(!owned_[static_cast<std::size_t>(id)]);
    is_free[static_cast<std::size_t>(id)] = true;
  }
  const auto owned = static_cast<std::size_t>(std::count(owned_.begin(), owned_.end(), true));
  BITCPM_CHECK(owned + free_.size() == owned_.size());
}

}  // namespace bitcpm
