#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace bitcpm {

// A Hugging Face tokenizer.json, read by Hugging Face's own `tokenizers` crate. Immutable once
// loaded; every method may be called from any thread.
class Tokenizer {
 public:
  // `tokenizer_config_json` may be empty; its add_bos_token (default true) and bos_token decide
  // whether and which BOS token begins a text.
  // Errors: kCorrupt, with the crate's reason.
  static Result<Tokenizer> load(std::string_view tokenizer_json,
                                std::string_view tokenizer_config_json);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // UTF-8 to ids. Special tokens written in the text become their ids. With add_special_tokens the
  // result begins with exactly one BOS, even if the text spells it or the tokenizer's
  // post-processor adds one itself. Errors: kInvalid (not UTF-8, or longer than 16 MiB).
  Result<std::vector<TokenId>> encode(std::string_view text, bool add_special_tokens) const;

  // Ids to UTF-8; ill-formed byte sequences become U+FFFD. Errors: kInvalid (id out of range).
  Result<std::string> decode(std::span<const TokenId> ids, bool skip_special_tokens) const;

  // The token as vocabulary entry ("▁the", "<0x0A>", "<s>"); empty for an unused id.
  std::string piece(TokenId id) const;

  // One past the largest id, added tokens included.
  std::int32_t vocab_size() const;
  bool is_special(TokenId id) const;
  TokenId bos_id() const;  // -1 if none

 private:
  friend class Detokenizer;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitcpm
