#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace bitcpm {

struct DecodedText;

// Turns a growing list of ids into a growing text: the pieces returned by push() and finish(),
// concatenated, equal what the whole continuation adds after the prompt. A piece is always valid
// UTF-8: bytes of a character whose end has not come yet are held back (those at the end of the
// prompt too: a character that it leaves unfinished counts as the continuation's).
// A token costs the same however long the text is. Ids without a token give no text.
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
  bool has_text(TokenId token) const;
  DecodedText decode(std::span<const TokenId> ids) const;
  std::string emit_up_to(const std::string& text, std::size_t end);
  void forget_old_context();

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<TokenId> window_;    // the newest ids, enough to decide about the next piece
  std::size_t settled_bytes_ = 0;  // of the window's text: prompt, or gone out
};

}  // namespace bitcpm
