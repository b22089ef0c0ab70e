#include "engine/block_hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace bitcpm {
namespace {

// Bytes go in, in any pieces; the result is that of the whole. The key and the result are read as
// little-endian words, which is a matter of names only: hashes never leave the process.
class SipHash128 {
 public:
  explicit SipHash128(const HashKey& key)
      : v0_(key[0] ^ 0x736f6d6570736575u),
        v1_(key[1] ^ 0x646f72616e646f6du ^ 0xee),
        v2_(key[0] ^ 0x6c7967656e657261u),
        v3_(key[1] ^ 0x7465646279746573u) {}

  void update(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < size; ++i) {
      tail_ |= std::uint64_t{bytes[i]} << (8 * (length_ % 8));
      if (++length_ % 8 == 0) absorb();
    }
  }

  BlockHash finish() {
    tail_ |= length_ << 56;
    absorb();
    v2_ ^= 0xee;
    rounds(4);
    BlockHash hash;
    hash.low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    rounds(4);
    hash.high = v0_ ^ v1_ ^ v2_ ^ v3_;
    return hash;
  }

 private:
  void absorb() {
    v3_ ^= tail_;
    rounds(2);
    v0_ ^= tail_;
    tail_ = 0;
  }

  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0_ += v1_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v3_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ += v3_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ += v1_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  std::uint64_t v0_, v1_, v2_, v3_;
  std::uint64_t tail_ = 0;  // bytes that do not fill a word yet
  std::uint64_t length_ = 0;
};

// What is hashed says what it is, so that no salt can pass for a block.
enum Tag : unsigned char { kSalt, kBlock };

}  // namespace

HashKey random_hash_key() {
  std::random_device device;
  const auto word = [&] { return (std::uint64_t{device()} << 32) | device(); };
  return {word(), word()};
}

BlockHash BlockHasher::root(std::string_view salt) const {
  SipHash128 hash(key_);
  const Tag tag = kSalt;
  hash.update(&tag, 1);
  hash.update(salt.data(), salt.size());
  return hash.finish();
}

BlockHash BlockHasher::next(const BlockHash& parent, std::span<const TokenId> tokens) const {
  SipHash128 hash(key_);
  const Tag tag = kBlock;
  hash.update(&tag, 1);
  hash.update(&parent, sizeof(parent));
  hash.update(tokens.data(), tokens.size_bytes());
  return hash.finish();
}

BlockHash siphash128(const HashKey& key, std::string_view bytes) {
  SipHash128 hash(key);
  hash.update(bytes.data(), bytes.size());
  return hash.finish();
}

}  // namespace bitcpm
