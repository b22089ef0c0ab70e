#pragma once

#include <cstdint>
#include <vector>

namespace bitcpm {

// Hands out the ids of KV cache blocks; knows no tensors. Ids are [0, total()). Not thread-safe.
class BlockPool {
 public:
  BlockPool(std::int32_t num_blocks, std::int32_t block_tokens);

  std::int32_t total() const { return static_cast<std::int32_t>(owned_.size()); }
  std::int32_t used() const { return total() - static_cast<std::int32_t>(free_.size()); }
  std::int32_t block_tokens() const { return block_tokens_; }
  std::int32_t blocks_for(std::int32_t tokens) const {
    return (tokens + block_tokens_ - 1) / block_tokens_;
  }

  // Grows `blocks` until it covers `tokens` positions. All or nothing: false leaves it unchanged.
  [[nodiscard]] bool reserve(std::int32_t tokens, std::vector<std::int32_t>& blocks);

  // Takes every block of `blocks` back and empties it.
  void release(std::vector<std::int32_t>& blocks);

  // Aborts unless every id is either free or owned, once.
  void check_integrity() const;

 private:
  std::int32_t block_tokens_;
  std::vector<std::int32_t> free_;  // a stack: the block freed last is the warmest
  std::vector<bool> owned_;
};

}  // namespace bitcpm
