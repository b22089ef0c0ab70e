#include "server/tokenize_api.h"

#include "server/chat_request.h"
#include "server/prompt_text.h"
#include "server/request_body.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace bitcpm {

Parsed<std::string> answer_tokenize(std::string_view body, const RequestLimits& limits,
                                    const TextTools& tools) {
  Parsed<json::value> document = parse_body(body);
  if (auto* error = std::get_if<ApiError>(&document)) return std::move(*error);
  FieldReader fields(std::get<json::value>(document).get_object());
  const std::string model(fields.string("model").value_or(limits.served_model_names.front()));
  const bool add_special_tokens = fields.flag("add_special_tokens", true);
  const bool want_pieces = fields.flag("return_token_strs", false);
  std::string text;
  if (fields.find("messages") != nullptr) {
    const TemplateContext context = read_template_context(fields, limits);
    if (fields.failed()) return fields.error();
    if (auto error = check_text_bytes(context.text_bytes, limits, "messages")) {
      return std::move(*error);
    }
    Parsed<std::string> rendered = render_chat(context, tools.chat_template);
    if (auto* error = std::get_if<ApiError>(&rendered)) return std::move(*error);
    text = std::move(std::get<std::string>(rendered));
  } else if (const auto prompt = fields.string("prompt")) {
    text = *prompt;
  } else {
    fields.fail("'prompt' or 'messages' must be given", "prompt");
  }
  if (fields.failed()) return fields.error();
  if (auto error = check_model(model, limits)) return std::move(*error);
  const std::string_view param = fields.find("messages") != nullptr ? "messages" : "prompt";
  if (auto error = check_text_bytes(text.size(), limits, param)) return std::move(*error);
  const Result<std::vector<TokenId>> ids = tools.tokenizer.encode(text, add_special_tokens);
  if (!ids.ok()) return from_error(ids.error());
  json::object answer;
  answer["count"] = ids->size();
  answer["max_model_len"] = limits.max_model_len;
  answer["tokens"] = json::array(ids->begin(), ids->end());
  json::value& pieces = answer["token_strs"];
  if (want_pieces) {
    json::array& list = pieces.emplace_array();
    for (const TokenId id : *ids) list.emplace_back(tools.tokenizer.piece(id));
  }
  return json::serialize(answer);
}

Parsed<std::string> answer_detokenize(std::string_view body, const RequestLimits& limits,
                                      const TextTools& tools) {
  constexpr std::size_t kMaxTokens = std::size_t{1} << 20;
  Parsed<json::value> document = parse_body(body);
  if (auto* error = std::get_if<ApiError>(&document)) return std::move(*error);
  FieldReader fields(std::get<json::value>(document).get_object());
  const std::string model(fields.string("model").value_or(limits.served_model_names.front()));
  if (fields.find("tokens") == nullptr) fields.fail("'tokens' must be given", "tokens");
  const std::vector<TokenId> ids = fields.token_ids("tokens", kMaxTokens);
  if (fields.failed()) return fields.error();
  if (auto error = check_model(model, limits)) return std::move(*error);
  const Result<std::string> text = tools.tokenizer.decode(ids, false);
  if (!text.ok()) return from_error(text.error());
  json::object answer;
  answer["prompt"] = *text;
  return json::serialize(answer);
}

}  // namespace bitcpm
