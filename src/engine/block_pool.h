#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/block_hash.h"
#include "engine/block_list.h"
#include "engine/block_residency.h"
#include "engine/prefix_index.h"

namespace bitcpm {

// Hands out the ids of KV cache blocks and remembers, by hash, what full ones hold; knows no
// tensors. A block is free (nothing in it), held by one or more sequences, or idle: held by nobody,
// but its content is known and can be taken up again until the room is needed. The block that has
// been idle longest goes first. Ids are [0, total()). Not thread-safe; allocates nothing after
// construction.
class BlockPool {
 public:
  // followed: the share of the blocks whose residency() is recorded.
  BlockPool(std::int32_t num_blocks, std::int32_t block_tokens, double followed = 0);

  std::int32_t total() const { return static_cast<std::int32_t>(holders_.size()); }
  std::int32_t used() const { return total() - available(); }
  std::int32_t available() const { return static_cast<std::int32_t>(free_.size()) + idle_.size(); }
  std::int32_t known() const { return index_.size(); }  // blocks that can be found by their hash
  std::int32_t block_tokens() const { return block_tokens_; }
  std::int32_t blocks_for(std::int32_t tokens) const {
    return (tokens + block_tokens_ - 1) / block_tokens_;
  }

  // Grows `blocks` until it covers `tokens` positions. All or nothing: false leaves it unchanged.
  [[nodiscard]] bool reserve(std::int32_t tokens, std::vector<std::int32_t>& blocks);

  // Lets go of every block of `blocks` and empties it. Later blocks are forgotten before earlier.
  void release(std::vector<std::int32_t>& blocks);

  // Appends the blocks of the leading hashes that are known, up to the first that is not.
  void take_known(std::span<const BlockHash> hashes, std::vector<std::int32_t>& blocks);

  bool knows(const BlockHash& hash) const { return index_.find(hash) != PrefixIndex::kNone; }

  // `block`, which the caller holds, is full and will not be written again: others may share it.
  // Returns the block to hold from now on: another one, if the same content is known already.
  std::int32_t publish(std::int32_t block, const BlockHash& hash);

  // Forgets every content; what is held stays held.
  void forget_all();

  // How many sequences hold the block.
  std::int32_t holders(std::int32_t block) const {
    return holders_[static_cast<std::size_t>(block)];
  }

  void set_time(double seconds) { residency_.set_time(seconds); }  // for residency() alone
  const BlockResidencyTotals& residency() const { return residency_.totals(); }

  // Aborts unless every block is in exactly one of the three states.
  void check_integrity() const;

 private:
  std::int32_t take_any();
  void hold(std::int32_t block);
  void let_go(std::int32_t block);

  std::int32_t block_tokens_;
  std::vector<std::int32_t> free_;  // a stack: the block freed last is the warmest
  std::vector<std::int32_t> holders_;
  PrefixIndex index_;
  BlockList idle_;  // longest idle first
  BlockResidency residency_;
};

}  // namespace bitcpm
