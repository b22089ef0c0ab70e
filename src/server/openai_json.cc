#include "server/openai_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "server/request_id.h"
#include "text/tokenizer.h"

namespace bitcpm {
namespace {

// A log-probability for JSON: -inf and NaN have no spelling there, so vLLM's floor of -9999 stands
// in. The shortest decimal that names the float, not the longer one that names its double.
double json_logprob(float logprob) {
  constexpr float kFloor = -9999.0f;
  if (!(logprob > kFloor)) return kFloor;
  char digits[32];
  const auto written = std::to_chars(std::begin(digits), std::end(digits), logprob);
  double value = logprob;
  std::from_chars(digits, written.ptr, value);
  return value;
}

json::object usage_json(const Usage& usage) {
  json::object object;
  object["prompt_tokens"] = usage.prompt_tokens;
  object["total_tokens"] = usage.prompt_tokens + usage.completion_tokens;
  object["completion_tokens"] = usage.completion_tokens;
  object["prompt_tokens_details"] = json::object{{"cached_tokens", usage.cached_tokens}};
  return object;
}

json::value ids_or_null(const std::vector<TokenId>* ids) {
  if (ids == nullptr) return nullptr;
  return json::array(ids->begin(), ids->end());
}

json::value finish_json(std::string_view reason) {
  return reason.empty() ? json::value(nullptr) : json::value(json::string_view(reason));
}

json::value stop_json(const StopReason& reason) {
  if (const auto* text = std::get_if<std::string>(&reason)) return json::value(*text);
  if (const auto* token = std::get_if<TokenId>(&reason)) return json::value(*token);
  return nullptr;
}

// The calls whose pieces those are, without their indices.
json::array whole_calls(json::array&& pieces) {
  json::array calls;
  for (json::value& piece : pieces) {
    json::object& call = piece.as_object();
    const json::string& more = call.at("function").at("arguments").as_string();
    if (call.contains("id")) {
      call.erase("index");
      calls.push_back(std::move(call));
    } else {
      calls.back().at("function").at("arguments").as_string().append(more);
    }
  }
  return calls;
}

}  // namespace

AnswerWriter::AnswerWriter(const Tokenizer& tokenizer, const PreparedRequest& request,
                           std::string_view id, std::string_view fingerprint, std::int64_t created)
    : request_(request),
      token_text_(tokenizer, request.options.return_tokens_as_token_ids),
      created_(created),
      id_((request.is_chat ? "chatcmpl-" : "cmpl-") + std::string(id)),
      fingerprint_(fingerprint),
      chunk_head_(json::serialize(
          envelope(request.is_chat ? "chat.completion.chunk" : "text_completion"))) {
  chunk_head_.back() = ',';  // instead of the brace
  chunk_head_ += R"("choices":[{"index":)";
}

json::object AnswerWriter::envelope(std::string_view object) const {
  json::object answer;
  answer["id"] = id_;
  answer["object"] = object;
  answer["created"] = created_;
  answer["model"] = request_.options.model;
  return answer;
}

json::value AnswerWriter::fingerprint_json() const {
  return fingerprint_.empty() ? json::value(nullptr) : json::value(json::string(fingerprint_));
}

std::string AnswerWriter::whole(std::span<const ChoiceDelta> choices, const Usage& usage) const {
  json::object answer = envelope(request_.is_chat ? "chat.completion" : "text_completion");
  json::array& list = answer["choices"].emplace_array();
  for (std::size_t i = 0; i < choices.size(); ++i) list.push_back(whole_choice(i, choices[i]));
  answer["service_tier"] = nullptr;
  answer["system_fingerprint"] = fingerprint_json();
  answer["usage"] = usage_json(usage);
  if (request_.is_chat) {
    answer["prompt_logprobs"] = prompt_logprobs(choices.front());
    answer["prompt_token_ids"] =
        ids_or_null(request_.options.return_token_ids ? &request_.prompts.front().ids : nullptr);
  }
  answer["kv_transfer_params"] = nullptr;
  return json::serialize(answer);
}

// As a stream has them: a call's id and name with its first piece alone.
json::array AnswerWriter::tool_calls(std::size_t choice,
                                     std::span<const ToolCallDelta> deltas) const {
  json::array list;
  for (const ToolCallDelta& delta : deltas) {
    json::object call;
    call["index"] = delta.index;
    json::object function;
    if (delta.is_first()) {
      call["id"] = fmt::format("call_{}_{}_{}", id_, choice, delta.index);
      call["type"] = "function";
      function["name"] = delta.name;
    }
    function["arguments"] = delta.arguments;
    call["function"] = std::move(function);
    list.push_back(std::move(call));
  }
  return list;
}

json::object AnswerWriter::whole_choice(std::size_t index, const ChoiceDelta& delta) const {
  const bool want_ids = request_.options.return_token_ids;
  json::object choice;
  choice["index"] = index;
  if (request_.is_chat) {
    json::object& message = choice["message"].emplace_object();
    message["role"] = request_.response_role;
    message["content"] = delta.text;
    for (const char* unused : {"refusal", "annotations", "audio", "function_call", "reasoning"}) {
      message[unused] = nullptr;
    }
    if (!delta.tool_calls.empty()) {
      if (delta.text.empty()) message["content"] = nullptr;
      message["tool_calls"] = whole_calls(tool_calls(index, delta.tool_calls));
    }
  } else {
    choice["text"] = delta.text;
  }
  choice["logprobs"] = logprobs(delta);
  choice["finish_reason"] = finish_json(delta.finish_reason);
  choice["stop_reason"] = stop_json(delta.stop_reason);
  choice["token_ids"] = ids_or_null(want_ids ? &delta.token_ids : nullptr);
  if (request_.is_chat) return choice;
  const std::size_t prompt = index / static_cast<std::size_t>(request_.options.n);
  choice["prompt_logprobs"] = prompt_logprobs(delta);
  choice["prompt_token_ids"] = ids_or_null(want_ids ? &request_.prompts[prompt].ids : nullptr);
  return choice;
}

std::string AnswerWriter::chunk(json::object&& choice, const std::vector<TokenId>* prompt_ids,
                                const Usage* usage) const {
  json::object answer = envelope(request_.is_chat ? "chat.completion.chunk" : "text_completion");
  if (!request_.is_chat) choice["prompt_token_ids"] = ids_or_null(prompt_ids);
  const bool is_last = !choice.at("finish_reason").is_null();
  answer["choices"].emplace_array().push_back(std::move(choice));
  if (is_last) answer["system_fingerprint"] = fingerprint_json();
  if (request_.is_chat && prompt_ids != nullptr) {
    answer["prompt_token_ids"] = ids_or_null(prompt_ids);
  }
  if (usage != nullptr) answer["usage"] = usage_json(*usage);
  return json::serialize(answer);
}

std::string AnswerWriter::role_chunk(std::size_t index, const std::vector<TokenId>* prompt_ids,
                                     const Usage* usage) const {
  json::object choice;
  choice["index"] = index;
  json::object& message = choice["delta"].emplace_object();
  message["role"] = request_.response_role;
  message["content"] = "";
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = nullptr;
  return chunk(std::move(choice), prompt_ids, usage);
}

// Nearly all chunks: text and nothing else. What the long way would write, without building it.
std::string AnswerWriter::plain_chunk(std::size_t index, std::string_view text) const {
  constexpr std::string_view kNulls =
      R"(,"logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":null)";
  const std::string quoted = json::serialize(json::string_view(text));
  std::string chunk;
  chunk.reserve(chunk_head_.size() + quoted.size() + kNulls.size() + 64);
  chunk += chunk_head_;
  chunk += std::to_string(index);
  chunk += request_.is_chat ? R"(,"delta":{"content":)" : R"(,"text":)";
  chunk += quoted;
  if (request_.is_chat) chunk += '}';
  chunk += kNulls;
  chunk += request_.is_chat ? "}]}" : R"(,"prompt_token_ids":null}]})";
  return chunk;
}

std::string AnswerWriter::delta_chunk(std::size_t index, const ChoiceDelta& delta,
                                      const std::vector<TokenId>* prompt_ids,
                                      const Usage* usage) const {
  const GenerationOptions& options = request_.options;
  const bool is_plain = delta.finish_reason.empty() && !options.return_token_ids &&
                        !options.sampling.wants_logprobs() && prompt_ids == nullptr &&
                        usage == nullptr && delta.tool_calls.empty();
  if (is_plain) return plain_chunk(index, delta.text);
  json::object choice;
  choice["index"] = index;
  if (request_.is_chat) {
    json::object& message = choice["delta"].emplace_object();
    if (!delta.text.empty() || delta.tool_calls.empty()) message["content"] = delta.text;
    if (!delta.tool_calls.empty()) message["tool_calls"] = tool_calls(index, delta.tool_calls);
  } else {
    choice["text"] = delta.text;
  }
  choice["logprobs"] = logprobs(delta);
  choice["finish_reason"] = finish_json(delta.finish_reason);
  choice["stop_reason"] = stop_json(delta.stop_reason);
  choice["token_ids"] = ids_or_null(request_.options.return_token_ids ? &delta.token_ids : nullptr);
  return chunk(std::move(choice), prompt_ids, usage);
}

std::string AnswerWriter::usage_chunk(const Usage& usage) const {
  json::object answer = envelope(request_.is_chat ? "chat.completion.chunk" : "text_completion");
  answer["choices"] = json::array();
  answer["usage"] = usage_json(usage);
  return json::serialize(answer);
}

json::value AnswerWriter::logprobs(const ChoiceDelta& delta) const {
  if (!request_.options.sampling.wants_logprobs()) return nullptr;
  return request_.is_chat ? chat_logprobs(delta.rows) : completion_logprobs(delta.rows);
}

// OpenAI's legacy shape: four parallel lists. top_logprobs holds the chosen token besides the n
// most likely ones.
json::value AnswerWriter::completion_logprobs(std::span<const TokenRow> rows) const {
  json::array offsets, logprobs, tokens, tops;
  for (const TokenRow& row : rows) {
    offsets.emplace_back(row.text_offset);
    tokens.emplace_back(token_text_.spell(row.token));
    if (!row.logprobs) {
      logprobs.emplace_back(nullptr);
      tops.emplace_back(nullptr);
      continue;
    }
    logprobs.emplace_back(json_logprob(row.logprobs->chosen.logprob));
    json::object top;
    top[tokens.back().as_string()] = logprobs.back();
    for (const TokenLogprobs::Entry& entry : row.logprobs->top) {
      top.emplace(token_text_.spell(entry.token), json_logprob(entry.logprob));
    }
    tops.push_back(std::move(top));
  }
  json::object object;
  object["text_offset"] = std::move(offsets);
  object["token_logprobs"] = std::move(logprobs);
  object["tokens"] = std::move(tokens);
  object["top_logprobs"] = std::move(tops);
  return object;
}

json::object AnswerWriter::chat_entry(const TokenLogprobs::Entry& entry) const {
  json::object object;
  object["token"] = token_text_.spell(entry.token);
  object["logprob"] = json_logprob(entry.logprob);
  json::array& bytes = object["bytes"].emplace_array();
  for (const char byte : token_text_.bytes(entry.token)) {
    bytes.emplace_back(static_cast<unsigned char>(byte));
  }
  return object;
}

json::value AnswerWriter::chat_logprobs(std::span<const TokenRow> rows) const {
  json::array content;
  for (const TokenRow& row : rows) {
    if (!row.logprobs) continue;
    json::object entry = chat_entry(row.logprobs->chosen);
    json::array& top = entry["top_logprobs"].emplace_array();
    for (const TokenLogprobs::Entry& other : row.logprobs->top) top.push_back(chat_entry(other));
    content.push_back(std::move(entry));
  }
  json::object object;
  object["content"] = std::move(content);
  return object;
}

// vLLM's shape: per prompt token an object of token id to logprob, rank and text; null for the
// first token, which nothing predicts.
json::value AnswerWriter::prompt_logprobs(const ChoiceDelta& delta) const {
  if (!request_.want_prompt_logprobs) return nullptr;
  json::array list;
  list.emplace_back(nullptr);
  for (const TokenLogprobs& position : delta.prompt_logprobs) {
    json::object entries;
    const auto add = [&](const TokenLogprobs::Entry& entry, std::int32_t rank) {
      json::object object;
      object["logprob"] = json_logprob(entry.logprob);
      object["rank"] = rank;
      object["decoded_token"] = token_text_.spell(entry.token);
      entries.emplace(std::to_string(entry.token), std::move(object));
    };
    add(position.chosen, position.rank);
    std::int32_t rank = 0;
    for (const TokenLogprobs::Entry& entry : position.top) add(entry, ++rank);
    list.push_back(std::move(entries));
  }
  return list;
}

namespace {

json::object model_card(const RequestLimits& limits, std::string_view name,
                        std::string_view numerics, std::int64_t created) {
  json::object card;
  card["id"] = name;
  card["object"] = "model";
  card["created"] = created;
  card["owned_by"] = "bitcpm";
  card["root"] = limits.served_model_names.front();
  card["parent"] = nullptr;
  card["max_model_len"] = limits.max_model_len;
  json::object permission;
  permission["id"] = "modelperm-" + random_hex();
  permission["object"] = "model_permission";
  permission["created"] = created;
  permission["allow_create_engine"] = false;
  permission["allow_sampling"] = true;
  permission["allow_logprobs"] = true;
  permission["allow_search_indices"] = false;
  permission["allow_view"] = true;
  permission["allow_fine_tuning"] = false;
  permission["organization"] = "*";
  permission["group"] = nullptr;
  permission["is_blocking"] = false;
  card["permission"].emplace_array().push_back(std::move(permission));
  card["numerics"] = numerics;
  return card;
}

}  // namespace

std::string models_json(const RequestLimits& limits, std::string_view numerics,
                        std::int64_t created) {
  json::object answer;
  answer["object"] = "list";
  json::array& cards = answer["data"].emplace_array();
  for (const std::string& name : limits.served_model_names) {
    cards.push_back(model_card(limits, name, numerics, created));
  }
  return json::serialize(answer);
}

std::string model_json(const RequestLimits& limits, std::string_view name,
                       std::string_view numerics, std::int64_t created) {
  return json::serialize(model_card(limits, name, numerics, created));
}

std::string valid_utf8(std::string_view text) {
  // Björn Höhrmann's ranges: what may follow a lead byte, so that overlong forms, surrogates and
  // values above U+10FFFF are refused at their second byte (Unicode 15, table 3-7).
  std::string clean;
  for (std::size_t i = 0; i < text.size();) {
    const auto at = [&](std::size_t k) -> unsigned {
      return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u;
    };
    const unsigned lead = at(0);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xC2 && lead < 0xE0 ? 2
                               : lead >= 0xE0 && lead < 0xF0 ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    bool good = length > 0 && (length == 1 || (at(1) >= low && at(1) <= high));
    for (std::size_t k = 2; k < length; ++k) good = good && (at(k) & 0xC0u) == 0x80u;
    if (good)
      clean += text.substr(i, length);
    else
      clean += "\uFFFD";
    i += good ? length : 1;
  }
  return clean;
}

}  // namespace bitcpm
