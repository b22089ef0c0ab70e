#include "server/completion_request.h"

#include <fmt/format.h>

#include <limits>

namespace bitcpm {
namespace {

constexpr std::size_t kMaxPromptIds = std::size_t{1} << 20;
constexpr std::int32_t kDefaultMaxTokens = 16;  // OpenAI's and vLLM's

std::vector<TokenId> read_ids(FieldReader& fields, const json::array& list) {
  std::vector<TokenId> ids;
  if (list.size() > kMaxPromptIds) {
    fields.fail("'prompt' holds too many token ids", "prompt");
    return ids;
  }
  ids.reserve(list.size());
  for (const json::value& item : list) {
    const std::optional<std::int64_t> id = whole_number(item);
    if (!id || *id < 0 || *id > std::numeric_limits<TokenId>::max()) {
      fields.fail("'prompt' holds something that is not a token id", "prompt");
      return {};
    }
    ids.push_back(static_cast<TokenId>(*id));
  }
  return ids;
}

PromptInput read_prompt(FieldReader& fields, const json::value& value) {
  if (const json::string* text = value.if_string()) {
    return std::string(text->data(), text->size());
  }
  if (const json::array* list = value.if_array(); list != nullptr && !list->empty()) {
    return read_ids(fields, *list);
  }
  fields.fail(
      "'prompt' must be a string, a list of strings, a list of token ids or a list of lists "
      "of token ids, none of them empty",
      "prompt");
  return std::string();
}

std::vector<PromptInput> read_prompts(FieldReader& fields) {
  std::vector<PromptInput> prompts;
  const json::value* value = fields.find("prompt");
  const bool is_missing = value == nullptr || (value->is_string() && value->get_string().empty());
  if (is_missing) {
    fields.fail("'prompt' must be given and must not be empty", "prompt");
    return prompts;
  }
  const json::array* list = value->if_array();
  if (list == nullptr || list->empty() || list->front().is_number()) {
    prompts.push_back(read_prompt(fields, *value));
    return prompts;
  }
  if (list->size() > kMaxChoices) {
    fields.fail(fmt::format("'prompt' lists {} prompts, more than the {} allowed", list->size(),
                            kMaxChoices),
                "prompt");
    return prompts;
  }
  const json::kind kind = list->front().kind();
  for (const json::value& item : *list) {
    if (item.kind() != kind) fields.fail("'prompt' mixes strings and token ids", "prompt");
    prompts.push_back(read_prompt(fields, item));
    if (fields.failed()) break;
  }
  return prompts;
}

void read_logprobs(FieldReader& fields, const RequestLimits& limits, CompletionRequest& request) {
  SamplingParams& sampling = request.options.sampling;
  const auto logprobs = read_logprobs_count(fields, "logprobs", limits);
  const auto prompt_logprobs = read_logprobs_count(fields, "prompt_logprobs", limits);
  if (prompt_logprobs && request.options.stream) {
    fields.fail("'prompt_logprobs' are not available with 'stream': true", "prompt_logprobs");
  }
  if (!sampling.logprob_token_ids.empty() && !logprobs) {
    fields.fail("'logprob_token_ids' needs 'logprobs'", "logprob_token_ids");
  }
  request.want_prompt_logprobs = prompt_logprobs.has_value();
  // The named tokens take the place of the most likely ones.
  if (sampling.logprob_token_ids.empty()) sampling.logprobs = logprobs;
  const auto echoed = request.echo ? logprobs : std::nullopt;
  const bool wants_all = prompt_logprobs == -1 || echoed == -1;
  sampling.prompt_logprobs = wants_all ? -1 : std::max(prompt_logprobs, echoed);
}

}  // namespace

Parsed<CompletionRequest> read_completion_request(FieldReader& fields,
                                                  const RequestLimits& limits) {
  CompletionRequest request;
  request.options = read_generation_options(fields, limits);
  GenerationOptions& options = request.options;
  request.echo = fields.flag("echo", false);
  fields.refuse("suffix");
  if (fields.integer("best_of", 1, kMaxChoicesPerPrompt).value_or(1) > 1) {
    fields.fail("'best_of' is not supported", "best_of");
  }
  read_logprobs(fields, limits, request);
  request.prompts = read_prompts(fields);
  if (!options.max_tokens) options.max_tokens = kDefaultMaxTokens;
  if (*options.max_tokens == 0 && !request.echo) {
    fields.fail("'max_tokens' must be at least 1 without 'echo'", "max_tokens");
  }
  if (request.prompts.size() * static_cast<std::size_t>(options.n) > kMaxChoices) {
    fields.fail(fmt::format("prompts times 'n' exceeds the {} choices allowed", kMaxChoices), "n");
  }
  if (fields.failed()) return fields.error();
  return request;
}

}  // namespace bitcpm
