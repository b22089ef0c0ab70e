#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace bitcpm {

// Finds what followed the last tokens of a sequence where they occurred in it before. An index of
// all places, in chains by the hash of their last min_match tokens, grows with the sequence.
class PromptLookup {
 public:
  // `longest`: tokens the sequence may come to; nothing is allocated after construction.
  PromptLookup(std::int32_t min_match, std::int32_t max_match, std::int32_t longest);

  // The `count` tokens that followed the earlier occurrence of the last tokens which agrees with
  // them the longest, up to max_match tokens back; of equal ones the latest. Where that runs into
  // the end of the sequence, it goes round as a loop does. Empty if not even min_match agree.
  // `tokens` is the sequence of the last call, longer or not. Valid until the next call.
  std::span<const TokenId> find(std::span<const TokenId> tokens, std::int32_t count);

 private:
  std::size_t bucket_of(std::span<const TokenId> tokens, std::size_t end) const;
  std::size_t match_length(std::span<const TokenId> tokens, std::size_t end) const;

  std::size_t min_match_;
  std::size_t max_match_;
  std::size_t indexed_ = 0;            // places [min_match_, indexed_) are in the chains
  std::vector<std::int32_t> latest_;   // by bucket: the latest place, as the count of tokens before
  std::vector<std::int32_t> earlier_;  // by place: the one before it in its chain
  std::vector<TokenId> found_;
};

}  // namespace bitcpm
