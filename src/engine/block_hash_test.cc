#include "engine/block_hash.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>
#include <utility>

namespace bitcpm {
namespace {

constexpr HashKey kKey = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

std::string hex(const BlockHash& hash) {
  std::string text;
  for (const std::uint64_t word : {hash.low, hash.high}) {
    for (int i = 0; i < 8; ++i) {
      constexpr const char* kDigits = "0123456789abcdef";
      text += kDigits[(word >> (8 * i + 4)) & 15];
      text += kDigits[(word >> (8 * i)) & 15];
    }
  }
  return text;
}

// Protects: it is SipHash-2-4-128, whose strength is known, and not something like it. Expected
// values: OpenSSL's SIPHASH of the bytes 0, 1, 2, … under the key 00 01 … 0f.
TEST(SipHash128, AgreesWithOpenSsl) {
  struct Case {
    int length;
    const char* hash;
  };
  const Case kCases[] = {
      {0, "a3817f04ba25a8e66df67214c7550293"},  {1, "da87c1d86b99af44347659119b22fc45"},
      {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},  {8, "3b62a9ba6258f5610f83e264f31497b4"},
      {17, "473d06e8738db89854c066c47ae47740"}, {64, "1eaf077dc0d4cd3f8cad4d383658a74b"},
  };
  for (const Case& c : kCases) {
    std::string bytes(static_cast<std::size_t>(c.length), '\0');
    std::iota(bytes.begin(), bytes.end(), '\0');
    EXPECT_EQ(hex(siphash128(kKey, bytes)), c.hash) << c.length;
  }
}

// Protects: a block's hash depends on its tokens, on everything before it, on the salt and on the
// key; a salt that imitates a block's bytes is no block.
TEST(BlockHasher, TellsBlocksApart) {
  const BlockHasher hasher(kKey);
  const BlockHasher other(HashKey{1, 2});
  const TokenId tokens[] = {1, 2, 3, 4};
  const TokenId reversed[] = {4, 3, 2, 1};
  const BlockHash root = hasher.root("");
  std::string imitation(reinterpret_cast<const char*>(&root), sizeof(root));
  imitation.append(reinterpret_cast<const char*>(tokens), sizeof(tokens));
  const BlockHash hashes[] = {root,
                              hasher.root("a"),
                              hasher.root(std::string(1, '\0')),
                              other.root(""),
                              hasher.next(root, tokens),
                              hasher.next(root, reversed),
                              hasher.next(hasher.root("a"), tokens),
                              hasher.next(hasher.next(root, tokens), tokens),
                              hasher.root(imitation)};
  std::set<std::pair<std::uint64_t, std::uint64_t>> distinct;
  for (const BlockHash& hash : hashes) distinct.insert({hash.low, hash.high});
  EXPECT_EQ(distinct.size(), std::size(hashes));
  EXPECT_EQ(hasher.next(root, tokens), BlockHasher(kKey).next(hasher.root(""), tokens));
}

// Protects: two processes do not share a key.
TEST(BlockHasher, KeysAreRandom) { EXPECT_NE(random_hash_key(), random_hash_key()); }

}  // namespace
}  // namespace bitcpm
