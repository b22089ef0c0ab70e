#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "text/bridge.h"
#include "text/tokenizer.h"

namespace bitcpm {

// Text of ids. Its last `unsettled_bytes` are the U+FFFD of a character whose remaining bytes may
// still come; what stands before them stays when ids are appended.
struct DecodedText {
  std::string text;
  std::size_t unsettled_bytes = 0;
};

struct Tokenizer::Impl {
  BridgeTokenizer bridge;
  TokenId bos_id = -1;
  bool add_bos_token = true;

  // Ids without a token are passed over. Errors: kInvalid (the decoder failed).
  Result<DecodedText> decode(std::span<const TokenId> ids, bool skip_special_tokens) const;
};

}  // namespace bitcpm
