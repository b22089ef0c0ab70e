#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer_config.h"
#include "text/tokenizer_impl.h"

namespace bitcpm {
namespace {

// The BOS that the configuration names, else the one that tokenizer.json itself puts first.
Result<TokenId> find_bos(const TbTokenizer* bridge, const TokenizerConfig& config) {
  if (config.bos_token.empty()) return tb_tokenizer_leading_id(bridge);
  const TokenId id = tb_tokenizer_id(bridge, config.bos_token.data(), config.bos_token.size());
  if (id < 0) {
    return Error{Errc::kCorrupt, "tokenizer_config.json: bos_token \"" + config.bos_token +
                                     "\" is not in the vocabulary"};
  }
  return id;
}

// Exactly one BOS in front, whether the text spelled none, one or several.
void begin_with(TokenId bos, std::vector<TokenId>& ids) {
  const auto first = std::find_if(ids.begin(), ids.end(), [bos](TokenId id) { return id != bos; });
  if (first == ids.begin()) {
    ids.insert(ids.begin(), bos);
  } else {
    ids.erase(ids.begin() + 1, first);
  }
}

}  // namespace

Result<DecodedText> Tokenizer::Impl::decode(std::span<const TokenId> ids,
                                            bool skip_special_tokens) const {
  TbText text{};
  DecodedText decoded;
  const bool ok = tb_tokenizer_decode(bridge.get(), ids.data(), ids.size(), skip_special_tokens,
                                      &text, &decoded.unsettled_bytes);
  decoded.text = take(text);
  if (!ok) return Error{Errc::kInvalid, "cannot decode: " + decoded.text};
  return decoded;
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::load(std::string_view tokenizer_json,
                                  std::string_view tokenizer_config_json) {
  auto config = parse_tokenizer_config(tokenizer_config_json);
  if (!config) return std::move(config).error().within("tokenizer_config.json");
  TbText error{};
  BridgeTokenizer bridge(tb_tokenizer_load(tokenizer_json.data(), tokenizer_json.size(), &error));
  if (!bridge) return Error{Errc::kCorrupt, "tokenizer.json: " + take(error)};
  BITCPM_ASSIGN(const TokenId bos_id, find_bos(bridge.get(), *config));
  return Tokenizer(std::make_unique<Impl>(Impl{std::move(bridge), bos_id, config->add_bos_token}));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text,
                                               bool add_special_tokens) const {
  TbIds found{};
  TbText error{};
  if (!tb_tokenizer_encode(impl_->bridge.get(), text.data(), text.size(), &found, &error)) {
    return Error{Errc::kInvalid, "cannot encode: " + take(error)};
  }
  std::vector<TokenId> ids(found.data, found.data + found.size);
  tb_ids_free(found);
  if (add_special_tokens && impl_->add_bos_token && impl_->bos_id >= 0) {
    begin_with(impl_->bos_id, ids);
  }
  return ids;
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> ids,
                                      bool skip_special_tokens) const {
  const TokenId end = vocab_size();
  const auto bad =
      std::find_if(ids.begin(), ids.end(), [end](TokenId id) { return id < 0 || id >= end; });
  if (bad != ids.end()) {
    return Error{Errc::kInvalid, "token id " + std::to_string(*bad) + " is not in [0, " +
                                     std::to_string(end) + ")"};
  }
  BITCPM_ASSIGN(DecodedText decoded, impl_->decode(ids, skip_special_tokens));
  return std::move(decoded.text);
}

std::string Tokenizer::piece(TokenId id) const {
  return take(tb_tokenizer_piece(impl_->bridge.get(), id));
}

std::int32_t Tokenizer::vocab_size() const { return tb_tokenizer_vocab_size(impl_->bridge.get()); }

bool Tokenizer::is_special(TokenId id) const {
  return tb_tokenizer_is_special(impl_->bridge.get(), id);
}

TokenId Tokenizer::bos_id() const { return impl_->bos_id; }

}  // namespace bitcpm
