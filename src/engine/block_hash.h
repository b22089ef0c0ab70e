#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/types.h"

namespace bitcpm {

// 128 bits that stand for the tokens of a block and of every block before it.
struct BlockHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  bool operator==(const BlockHash&) const = default;
};

using HashKey = std::array<std::uint64_t, 2>;

// A key nobody can guess, from the operating system.
HashKey random_hash_key();

// Names the blocks of sequences: hash(block i) = SipHash-2-4-128(key, hash(block i - 1), tokens of
// block i), and the first one follows the hash of the tenant's salt. SipHash is a pseudo-random
// function of a secret key (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): who
// does not know the key cannot look for prompts that collide. Hashes mean nothing under another
// key.
class BlockHasher {
 public:
  explicit BlockHasher(const HashKey& key) : key_(key) {}

  BlockHash root(std::string_view salt) const;
  BlockHash next(const BlockHash& parent, std::span<const TokenId> tokens) const;

 private:
  HashKey key_;
};

// The function itself, for its test. `bytes` may be of any length.
BlockHash siphash128(const HashKey& key, std::string_view bytes);

}  // namespace bitcpm
