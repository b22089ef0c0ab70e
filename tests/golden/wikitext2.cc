#include "wikitext2.h"

#include <algorithm>
#include <sstream>

#include "base/json.h"
#include "golden_data.h"
#include "text/tokenizer.h"

namespace bitcpm::golden {
namespace {

std::size_t stripped_characters(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  std::size_t characters = 0;
  for (std::size_t i = begin; begin != std::string::npos && i <= end; ++i) {
    characters += (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80 ? 1 : 0;
  }
  return characters;
}

}  // namespace

std::vector<std::vector<TokenId>> wikitext2_ids() {
  std::vector<std::vector<TokenId>> texts;
  const std::string path = wikitext2_path();
  if (path.empty()) return texts;
  const std::string assets = std::string(BITCPM_SOURCE_DIR) + "/assets/bitcpm-tiny/";
  const Tokenizer tokenizer = Tokenizer::load(read_text(assets + "tokenizer.json"),
                                              read_text(assets + "tokenizer_config.json"))
                                  .value();
  std::istringstream lines(read_text(path));
  for (std::string line; texts.size() < 50 && std::getline(lines, line);) {
    const auto text = json::value_to<std::string>(parse_json(line)->at("text"));
    if (stripped_characters(text) <= 50) continue;
    std::vector<TokenId> ids = tokenizer.encode(text, true).value();
    ids.resize(std::min<std::size_t>(ids.size(), 512));
    texts.push_back(std::move(ids));
  }
  return texts;
}

}  // namespace bitcpm::golden
