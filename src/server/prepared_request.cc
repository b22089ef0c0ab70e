#include "server/prepared_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/prompt_text.h"
#include "server/request_body.h"
#include "server/token_text.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace bitcpm {
namespace {

constexpr std::size_t kMaxUnknownFields = 8;

// What an answer holds at most: two hundred bytes of JSON each, all built before the first is sent.
std::optional<ApiError> check_logprob_entries(const PreparedRequest& request,
                                              const RequestLimits& limits) {
  const SamplingParams& sampling = request.options.sampling;
  const auto width = [&](const std::optional<std::int32_t>& top) -> std::size_t {
    if (!top) return 0;
    return static_cast<std::size_t>(*top < 0 ? limits.vocab_size : *top) + 1;
  };
  const std::size_t per_token =
      std::max(width(sampling.logprobs), sampling.logprob_token_ids.size());
  std::size_t entries = 0;
  for (const PreparedPrompt& prompt : request.prompts) {
    const std::size_t answer = per_token * static_cast<std::size_t>(sampling.max_tokens);
    entries += prompt.ids.size() * width(sampling.prompt_logprobs) + answer;
  }
  entries *= static_cast<std::size_t>(request.options.n);
  if (entries <= kMaxLogprobEntries) return std::nullopt;
  return bad_request(fmt::format("The request asks for up to {} log-probabilities; an answer holds "
                                 "at most {}. Please ask for fewer per token, for fewer tokens or "
                                 "for fewer choices.",
                                 entries, kMaxLogprobEntries),
                     "logprobs");
}

// Decides max_tokens and cuts the prompt if asked to.
std::optional<ApiError> fit_context(PreparedRequest& request, const RequestLimits& limits) {
  GenerationOptions& options = request.options;
  const std::int64_t context = limits.max_model_len;
  const std::int64_t wanted_output = options.max_tokens.value_or(1);
  const std::int64_t output = request.needs_engine() ? std::max<std::int64_t>(wanted_output, 1) : 0;
  for (PreparedPrompt& prompt : request.prompts) {
    if (options.truncate_prompt_tokens) {
      const std::int64_t wanted = *options.truncate_prompt_tokens;
      const std::int64_t keep = wanted > 0 ? wanted : std::max<std::int64_t>(context - output, 1);
      const std::int64_t surplus = static_cast<std::int64_t>(prompt.ids.size()) - keep;
      const auto from = options.truncate_right
                            ? prompt.ids.end() - std::max<std::int64_t>(surplus, 0)
                            : prompt.ids.begin();
      if (surplus > 0) prompt.ids.erase(from, from + surplus);
    }
    if (prompt.ids.empty()) return bad_request("the prompt holds no token", "prompt");
    const auto input = static_cast<std::int64_t>(prompt.ids.size());
    if (input + output > context) {
      return prompt_too_long(options, limits, input, false, output - wanted_output,
                             request.is_chat ? "messages" : "prompt");
    }
    if (!options.max_tokens) options.max_tokens = static_cast<std::int32_t>(context - input);
  }
  options.sampling.max_tokens = std::max(*options.max_tokens, 1);
  if (std::optional<ApiError> error = check_logprob_entries(request, limits)) return error;
  if (options.sampling.min_tokens > options.sampling.max_tokens) {
    return bad_request(fmt::format("'min_tokens' must be at most max_tokens = {}, got {}",
                                   options.sampling.max_tokens, options.sampling.min_tokens),
                       "min_tokens");
  }
  return std::nullopt;
}

// Where each prompt token begins in the echoed text. A BOS that the tokenizer added has no text.
void locate_tokens(PreparedPrompt& prompt, const Tokenizer& tokenizer, bool skip_special_tokens) {
  const bool has_added_bos = !skip_special_tokens && !prompt.ids.empty() &&
                             prompt.ids.front() == tokenizer.bos_id() &&
                             !prompt.echo_text.starts_with(tokenizer.piece(prompt.ids.front()));
  const std::span<const TokenId> ids = prompt.ids;
  Detokenizer detokenizer(tokenizer, {}, skip_special_tokens);
  const std::size_t total = count_characters(prompt.echo_text);
  std::size_t offset = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    prompt.offsets.push_back(std::min(offset, total));
    if (i > 0 || !has_added_bos) offset += count_characters(detokenizer.push(ids[i]));
  }
}

Parsed<PreparedPrompt> encode_prompt(PromptInput&& input, const CompletionRequest& request,
                                     const RequestLimits& limits, const Tokenizer& tokenizer) {
  PreparedPrompt prompt;
  const GenerationOptions& options = request.options;
  if (auto* ids = std::get_if<std::vector<TokenId>>(&input)) {
    prompt.ids = std::move(*ids);
    return prompt;
  }
  std::string& text = std::get<std::string>(input);
  Parsed<std::vector<TokenId>> ids = encode_prompt_text(text, options, limits, tokenizer, "prompt");
  if (auto* error = std::get_if<ApiError>(&ids)) return std::move(*error);
  prompt.ids = std::move(std::get<std::vector<TokenId>>(ids));
  if (request.echo && !options.return_token_ids) prompt.echo_text = std::move(text);
  return prompt;
}

// After truncation, so that text and tokens stay of one length.
std::optional<ApiError> add_echo(PreparedPrompt& prompt, bool was_cut, const Tokenizer& tokenizer,
                                 const PreparedRequest& request) {
  const GenerationOptions& options = request.options;
  const bool from_text = !prompt.echo_text.empty() && !was_cut;
  const bool skip_special_tokens = !from_text && options.skip_special_tokens;
  // Decoding checks the ids as well, which nobody else does where no engine is needed.
  if (!from_text && !(options.return_token_ids && request.needs_engine())) {
    Result<std::string> text = tokenizer.decode(prompt.ids, skip_special_tokens);
    if (!text.ok()) return from_error(text.error());
    if (!options.return_token_ids) prompt.echo_text = std::move(*text);
  }
  if (options.sampling.wants_logprobs()) locate_tokens(prompt, tokenizer, skip_special_tokens);
  return std::nullopt;
}

// As vLLM does it: a word at the beginning of a text and, where it is spelled with as many tokens,
// in the middle of one, after a space.
std::optional<ApiError> encode_bad_words(GenerationOptions& options, const Tokenizer& tokenizer) {
  for (const std::string& word : options.bad_words) {
    const std::string_view bare =
        std::string_view(word).substr(std::min(word.find_first_not_of(" \t\n\r\f\v"), word.size()));
    std::vector<TokenId> first;
    for (const bool after_space : {false, true}) {
      std::string text(after_space ? " " : "");
      text += bare;
      Result<std::vector<TokenId>> ids = tokenizer.encode(text, false);
      if (!ids.ok()) return from_error(ids.error());
      if (ids->empty()) continue;
      const bool adds = !after_space || first.empty() ||
                        (ids->front() != first.front() && ids->size() == first.size());
      if (!after_space) first = *ids;
      if (adds) options.sampling.bad_words.push_back(std::move(*ids));
    }
  }
  return std::nullopt;
}

std::vector<std::string> unknown_fields(const FieldReader& fields) {
  const std::vector<std::string_view> names = fields.unknown(kMaxUnknownFields);
  return {names.begin(), names.end()};
}

}  // namespace

Parsed<PreparedRequest> prepare_completion(std::string_view body, const RequestLimits& limits,
                                           const TextTools& tools) {
  Parsed<json::value> document = parse_body(body);
  if (auto* error = std::get_if<ApiError>(&document)) return std::move(*error);
  FieldReader fields(std::get<json::value>(document).get_object());
  Parsed<CompletionRequest> parsed = read_completion_request(fields, limits);
  if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
  CompletionRequest& request = std::get<CompletionRequest>(parsed);
  if (auto error = check_model(request.options.model, limits)) return std::move(*error);

  PreparedRequest prepared;
  prepared.unknown_fields = unknown_fields(fields);
  prepared.echo = request.echo;
  prepared.echo_only = request.options.max_tokens == 0;
  prepared.want_prompt_logprobs = request.want_prompt_logprobs;
  std::vector<std::size_t> lengths;
  for (PromptInput& input : request.prompts) {
    Parsed<PreparedPrompt> prompt =
        encode_prompt(std::move(input), request, limits, tools.tokenizer);
    if (auto* error = std::get_if<ApiError>(&prompt)) return std::move(*error);
    prepared.prompts.push_back(std::move(std::get<PreparedPrompt>(prompt)));
    lengths.push_back(prepared.prompts.back().ids.size());
  }
  if (auto error = encode_bad_words(request.options, tools.tokenizer)) return std::move(*error);
  prepared.options = std::move(request.options);
  if (auto error = fit_context(prepared, limits)) return std::move(*error);
  for (std::size_t i = 0; prepared.echo && i < lengths.size(); ++i) {
    PreparedPrompt& prompt = prepared.prompts[i];
    const bool was_cut = prompt.ids.size() != lengths[i];
    if (auto error = add_echo(prompt, was_cut, tools.tokenizer, prepared)) {
      return std::move(*error);
    }
  }
  return prepared;
}

Parsed<PreparedRequest> prepare_chat(std::string_view body, const RequestLimits& limits,
                                     const TextTools& tools) {
  Parsed<json::value> document = parse_body(body);
  if (auto* error = std::get_if<ApiError>(&document)) return std::move(*error);
  FieldReader fields(std::get<json::value>(document).get_object());
  Parsed<ChatRequest> parsed = read_chat_request(fields, limits);
  if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
  ChatRequest& request = std::get<ChatRequest>(parsed);
  if (auto error = check_model(request.options.model, limits)) return std::move(*error);

  constexpr std::string_view kParam = "messages";
  if (auto error = check_text_bytes(request.context.text_bytes, limits, kParam)) {
    return std::move(*error);
  }
  const Parsed<std::string> text = render_chat(request.context, tools.chat_template);
  if (const auto* error = std::get_if<ApiError>(&text)) return *error;
  Parsed<std::vector<TokenId>> ids = encode_prompt_text(
      std::get<std::string>(text), request.options, limits, tools.tokenizer, kParam);
  if (auto* error = std::get_if<ApiError>(&ids)) return std::move(*error);

  PreparedRequest prepared;
  prepared.is_chat = true;
  prepared.unknown_fields = unknown_fields(fields);
  prepared.response_role = std::move(request.context.response_role);
  prepared.echo_text = std::move(request.echo_text);
  prepared.most_tool_calls = request.most_tool_calls;
  prepared.want_prompt_logprobs = request.options.sampling.prompt_logprobs.has_value();
  prepared.prompts.push_back({std::move(std::get<std::vector<TokenId>>(ids)), {}, {}});
  if (auto error = encode_bad_words(request.options, tools.tokenizer)) return std::move(*error);
  prepared.options = std::move(request.options);
  if (auto error = fit_context(prepared, limits)) return std::move(*error);
  return prepared;
}

}  // namespace bitcpm
