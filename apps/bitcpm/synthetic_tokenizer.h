#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"

namespace bitcpm {

struct TokenizerFiles {
  std::string tokenizer_json;
  std::string tokenizer_config_json;
};

// A tokenizer.json and tokenizer_config.json grown to a larger vocabulary: pieces "<unused_N>" that
// no text encodes to fill the ids up to `first_added_token`, where the added tokens after the last
// piece move. So every id decodes to something, and the control tokens have their published ids.
// Errors: kCorrupt, kInvalid (the vocabulary is larger already).
Result<TokenizerFiles> grow_tokenizer(std::string_view tokenizer_json,
                                      std::string_view tokenizer_config_json,
                                      TokenId first_added_token, std::int32_t max_position);

}  // namespace bitcpm
