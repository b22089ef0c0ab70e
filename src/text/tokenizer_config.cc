#include "text/tokenizer_config.h"

#include <array>
#include <utility>

namespace bitcpm {
namespace {

constexpr std::array<std::string_view, 7> kTokenNames = {
    "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"};

Error wrong(std::string_view key, std::string_view expected) {
  return {Errc::kCorrupt, std::string(key) + ": expected " + std::string(expected)};
}

const json::value* find(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<json::string> token_text(std::string_view key, const json::value& token) {
  const json::value* content = &token;
  if (token.is_object()) content = token.get_object().if_contains("content");
  if (content == nullptr || !content->is_string()) {
    return wrong(key, "a string or an object with \"content\"");
  }
  return content->get_string();
}

Status read_special_tokens(const json::object& root, json::object& special_tokens) {
  for (const std::string_view name : kTokenNames) {
    const json::value* token = find(root, name);
    if (token == nullptr) continue;
    BITCPM_ASSIGN(json::string text, token_text(name, *token));
    special_tokens.emplace(name, std::move(text));
  }
  constexpr std::string_view kAdditional = "additional_special_tokens";
  const json::value* additional = find(root, kAdditional);
  if (additional == nullptr) return {};
  if (!additional->is_array()) return wrong(kAdditional, "a list");
  json::array texts;
  for (const json::value& token : additional->get_array()) {
    BITCPM_ASSIGN(json::string text, token_text(kAdditional, token));
    texts.emplace_back(std::move(text));
  }
  special_tokens.emplace(kAdditional, std::move(texts));
  return {};
}

Result<std::string> read_chat_template(const json::object& root) {
  constexpr std::string_view kKey = "chat_template";
  const json::value* value = find(root, kKey);
  if (value == nullptr) return std::string();
  if (value->is_string()) return std::string(value->get_string());
  if (!value->is_array()) return wrong(kKey, "a string or a list");
  for (const json::value& entry : value->get_array()) {
    const json::object* named = entry.if_object();
    const json::value* name = named ? named->if_contains("name") : nullptr;
    const json::value* source = named ? named->if_contains("template") : nullptr;
    if (!name || !name->is_string() || !source || !source->is_string()) {
      return wrong(kKey, "a list of {name, template}");
    }
    if (name->get_string() == "default") return std::string(source->get_string());
  }
  return std::string();
}

}  // namespace

Result<TokenizerConfig> parse_tokenizer_config(std::string_view text) {
  TokenizerConfig config;
  if (text.empty()) return config;
  BITCPM_ASSIGN(const json::value root, parse_json(text));
  if (!root.is_object()) return Error{Errc::kCorrupt, "not a JSON object"};
  const json::object& object = root.get_object();
  if (const json::value* add_bos = find(object, "add_bos_token")) {
    if (!add_bos->is_bool()) return wrong("add_bos_token", "true or false");
    config.add_bos_token = add_bos->get_bool();
  }
  BITCPM_TRY(read_special_tokens(object, config.special_tokens));
  if (const json::value* bos = config.special_tokens.if_contains("bos_token")) {
    config.bos_token = std::string(bos->get_string());
  }
  BITCPM_ASSIGN(config.chat_template, read_chat_template(object));
  return config;
}

}  // namespace bitcpm
