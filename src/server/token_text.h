#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/types.h"

namespace bitcpm {

class Tokenizer;

// How one token is spelled in logprobs. Different tokens get different spellings, so that
// top_logprobs, a JSON object, never names a key twice: a leading space is kept, and a byte of an
// unfinished character is "bytes:\xE4" as in OpenAI's own API.
class TokenText {
 public:
  // as_ids: "token_id:17" instead (vLLM's return_tokens_as_token_ids).
  TokenText(const Tokenizer& tokenizer, bool as_ids) : tokenizer_(tokenizer), as_ids_(as_ids) {}

  std::string spell(TokenId id) const;
  std::string bytes(TokenId id) const;  // what the token adds to the text; may be half a character

 private:
  const Tokenizer& tokenizer_;
  bool as_ids_;
};

// Unicode characters of a valid UTF-8 text.
std::size_t count_characters(std::string_view text);

}  // namespace bitcpm
