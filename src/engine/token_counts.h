#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace bitcpm {

// How often each token occurs in a sequence, kept as the sequence grows, so that a step's penalties
// cost what its distinct tokens cost and not what its length does.
class TokenCounts {
 public:
  struct Entry {
    TokenId token;
    std::int32_t outputs;  // occurrences among the generated tokens
    bool in_prompt;
  };

  // Counts what `tokens` (the first `prompt_tokens` are the prompt) has gained since the last call.
  // What was counted must still be there unchanged; if there is less, all is counted anew. Room is
  // made once, for the `longest` tokens that there may come to be.
  void catch_up(std::span<const TokenId> tokens, std::size_t prompt_tokens, std::size_t longest);

  std::span<const Entry> entries() const { return entries_; }  // one per distinct token, ascending

 private:
  void add(TokenId token, bool in_prompt);

  std::vector<Entry> entries_;
  std::size_t counted_ = 0;
};

}  // namespace bitcpm
