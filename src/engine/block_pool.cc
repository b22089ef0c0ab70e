#include "engine/block_pool.h"

#include <algorithm>

#include "base/check.h"

namespace bitcpm {

BlockPool::BlockPool(std::int32_t num_blocks, std::int32_t block_tokens, double followed)
    : block_tokens_(block_tokens),
      holders_(static_cast<std::size_t>(num_blocks), 0),
      index_(num_blocks),
      idle_(num_blocks),
      residency_(num_blocks, followed) {
  BITCPM_CHECK(num_blocks >= 0 && block_tokens > 0);
  free_.reserve(holders_.size());
  for (std::int32_t id = num_blocks; id > 0; --id) free_.push_back(id - 1);
}

bool BlockPool::reserve(std::int32_t tokens, std::vector<std::int32_t>& blocks) {
  const auto want = static_cast<std::size_t>(blocks_for(tokens));
  if (want <= blocks.size()) return true;
  if (want - blocks.size() > static_cast<std::size_t>(available())) return false;
  while (blocks.size() < want) blocks.push_back(take_any());
  return true;
}

std::int32_t BlockPool::take_any() {
  std::int32_t block = 0;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else {
    block = idle_.front();
    idle_.remove(block);
    index_.erase(block);
  }
  holders_[static_cast<std::size_t>(block)] = 1;
  residency_.handed_out(block);
  return block;
}

void BlockPool::release(std::vector<std::int32_t>& blocks) {
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) let_go(*block);
  blocks.clear();
}

void BlockPool::hold(std::int32_t block) {
  if (holders_[static_cast<std::size_t>(block)]++ == 0) idle_.remove(block);
  residency_.taken_up(block);
}

void BlockPool::let_go(std::int32_t block) {
  std::int32_t& holders = holders_[static_cast<std::size_t>(block)];
  BITCPM_CHECK(holders > 0);
  if (--holders > 0) return;
  if (index_.contains(block)) {
    idle_.push_back(block);
  } else {
    free_.push_back(block);
  }
}

void BlockPool::take_known(std::span<const BlockHash> hashes, std::vector<std::int32_t>& blocks) {
  for (const BlockHash& hash : hashes) {
    const std::int32_t block = index_.find(hash);
    if (block == PrefixIndex::kNone) return;
    hold(block);
    blocks.push_back(block);
  }
}

std::int32_t BlockPool::publish(std::int32_t block, const BlockHash& hash) {
  const std::int32_t known = index_.find(hash);
  if (known == PrefixIndex::kNone) {
    index_.insert(block, hash);
    return block;
  }
  if (known == block) return block;
  hold(known);  // equal tokens after an equal prefix: the same keys and values, bit for bit
  let_go(block);
  return known;
}

void BlockPool::forget_all() {
  residency_.forget_all();
  for (std::int32_t block = 0; block < total(); ++block) {
    if (!index_.contains(block)) continue;
    index_.erase(block);
    if (holders(block) > 0) continue;
    idle_.remove(block);
    free_.push_back(block);
  }
}

void BlockPool::check_integrity() const {
  std::vector<bool> is_free(holders_.size(), false);
  for (const std::int32_t block : free_) {
    BITCPM_CHECK(!is_free[static_cast<std::size_t>(block)]);
    BITCPM_CHECK(holders(block) == 0 && !index_.contains(block));
    is_free[static_cast<std::size_t>(block)] = true;
  }
  std::int32_t idle = 0;
  for (std::int32_t block = 0; block < total(); ++block) {
    BITCPM_CHECK(holders(block) >= 0);
    if (holders(block) == 0 && !is_free[static_cast<std::size_t>(block)]) {
      BITCPM_CHECK(index_.contains(block));
      ++idle;
    }
  }
  BITCPM_CHECK(idle == idle_.size());
}

}  // namespace bitcpm
