#include "synthetic_tokenizer.h"

#include <charconv>
#include <utility>

#include "console.h"

namespace bitcpm {
namespace {

Error unexpected(std::string_view where) {
  return {Errc::kCorrupt, std::string(where) + " is not what a tokenizer.json has there"};
}

// Fills the vocabulary up to `end` and returns how many pieces it had.
Result<std::int64_t> fill_vocabulary(json::value& root, TokenId end) {
  json::object* object = root.if_object();
  json::value* model = object == nullptr ? nullptr : object->if_contains("model");
  json::object* model_object = model == nullptr ? nullptr : model->if_object();
  json::value* vocab = model_object == nullptr ? nullptr : model_object->if_contains("vocab");
  json::object* pieces = vocab == nullptr ? nullptr : vocab->if_object();
  if (pieces == nullptr) return unexpected("model.vocab");
  const auto count = static_cast<std::int64_t>(pieces->size());
  if (count > end) return Error{Errc::kInvalid, "the tokenizer has too many pieces to be grown"};
  pieces->reserve(static_cast<std::size_t>(end));
  for (std::int64_t id = count; id < end; ++id) {
    pieces->emplace("<unused_" + std::to_string(id) + ">", id);
  }
  return count;
}

// Moves the ids of added tokens from `from` on by `shift`.
Status move_added_tokens(json::value& root, std::int64_t from, std::int64_t shift) {
  json::value* list = root.as_object().if_contains("added_tokens");
  if (list == nullptr || !list->is_array()) return unexpected("added_tokens");
  for (json::value& token : list->get_array()) {
    json::object* fields = token.if_object();
    json::value* id = fields == nullptr ? nullptr : fields->if_contains("id");
    if (id == nullptr || !id->is_int64()) return unexpected("added_tokens");
    if (id->get_int64() >= from) *id = id->get_int64() + shift;
  }
  return {};
}

// The same in tokenizer_config.json, where ids are keys.
Status move_decoder_keys(json::object& config, std::int64_t from, std::int64_t shift) {
  json::value* decoder = config.if_contains("added_tokens_decoder");
  if (decoder == nullptr || !decoder->is_object()) return unexpected("added_tokens_decoder");
  json::object moved;
  for (auto& [key, value] : decoder->get_object()) {
    std::int64_t id = 0;
    const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || stop != key.data() + key.size()) {
      return unexpected("added_tokens_decoder");
    }
    moved[std::to_string(id >= from ? id + shift : id)] = std::move(value);
  }
  *decoder = std::move(moved);
  return {};
}

}  // namespace

Result<TokenizerFiles> grow_tokenizer(std::string_view tokenizer_json,
                                      std::string_view tokenizer_config_json,
                                      TokenId first_added_token, std::int32_t max_position) {
  BITCPM_ASSIGN(json::value tokenizer, parse_json(tokenizer_json));
  BITCPM_ASSIGN(json::value config, parse_json(tokenizer_config_json));
  if (!config.is_object()) return unexpected("the document");
  BITCPM_ASSIGN(const std::int64_t pieces, fill_vocabulary(tokenizer, first_added_token));
  const std::int64_t shift = first_added_token - pieces;
  BITCPM_TRY(move_added_tokens(tokenizer, pieces, shift));
  BITCPM_TRY(move_decoder_keys(config.get_object(), pieces, shift));
  config.get_object()["model_max_length"] = max_position;
  return TokenizerFiles{pretty_json(tokenizer) + "\n", pretty_json(config) + "\n"};
}

}  // namespace bitcpm
