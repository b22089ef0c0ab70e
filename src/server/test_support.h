#pragma once

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace bitcpm {

inline std::string read_asset(const std::string& name) {
  std::ifstream file(std::string(BITCPM_SOURCE_DIR) + "/assets/bitcpm-tiny/" + name,
                     std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline const Tokenizer& test_tokenizer() {
  static const Tokenizer tokenizer =
      Tokenizer::load(read_asset("tokenizer.json"), read_asset("tokenizer_config.json")).value();
  return tokenizer;
}

inline const ChatTemplate& test_template() {
  static const ChatTemplate chat_template = ChatTemplate::load("", "").value();
  return chat_template;
}

// The tokens of a text as a model would go on with it: after a space.
inline std::vector<TokenId> continuation(std::string_view text) {
  return test_tokenizer().encode(text, false).value();
}

}  // namespace bitcpm
