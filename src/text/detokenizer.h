#pragma once

#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace bitcpm {

// Turns a growing list of ids into a growing text: the pieces returned by push() and finish(),
// concatenated, equal what the whole continuation adds after the prompt. A piece is always valid
// UTF-8: bytes of a character whose end has not come yet are held back.
// One per sequence; not thread-safe. Refers to the tokenizer, which must outlive it.
class Detokenizer {
 public:
  // `prompt` is context only (it decides about leading spaces) and is never emitted.
  Detokenizer(const Tokenizer& tokenizer, std::span<const TokenId> prompt,
              bool skip_special_tokens);

  // The text that became certain with this token; often empty in the middle of a character.
  std::string push(TokenId token);

  // What was held back; an unfinished character becomes U+FFFD.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<TokenId> window_;  // ids whose text decides about the next piece
  std::size_t emitted_ids_ = 0;  // of window_: those whose text has gone out
};

}  // namespace bitcpm
