#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace bitcpm {

// What we use of a tokenizer_config.json.
struct TokenizerConfig {
  bool add_bos_token = true;
  std::string bos_token;      // empty: not named
  std::string chat_template;  // empty: none
  // Variables of the chat template: bos_token, eos_token, …, additional_special_tokens. Tokens that
  // the file leaves out or sets to null are absent, hence undefined in the template.
  json::object special_tokens;
};

// An empty text stands for a checkpoint without the file. A token is a string or an object with a
// "content"; chat_template is a string or a list of {name, template} of which "default" counts.
// Errors: kCorrupt, naming the key.
Result<TokenizerConfig> parse_tokenizer_config(std::string_view text);

}  // namespace bitcpm
