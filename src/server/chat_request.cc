#include "server/chat_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "text/chat_template.h"

namespace bitcpm {
namespace {

constexpr std::string_view kRefusedFields[] = {
    "functions",       "function_call", "chat_template",      "mm_processor_kwargs",
    "media_io_kwargs", "audio",         "web_search_options", "prediction"};

// Of OpenAI, about its own service; and about reasoning and calls apart from the text, which no
// answer here has.
constexpr std::string_view kIgnoredFields[] = {
    "include_reasoning", "metadata",          "store",     "service_tier",
    "prompt_cache_key",  "safety_identifier", "modalities"};

constexpr std::size_t kMaxToolCalls = 1024;  // of an answer; its length bounds them anyway

constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium",
                                         "high", "xhigh",   "max"};

constexpr std::string_view kSpace = " \t\n\r\f\v";

void read_logprobs(FieldReader& fields, const RequestLimits& limits, ChatRequest& request) {
  const bool wanted = fields.flag("logprobs", false);
  const auto top = read_logprobs_count(fields, "top_logprobs", limits);
  SamplingParams& sampling = request.options.sampling;
  if (top.value_or(0) != 0 && !wanted) {
    fields.fail("'top_logprobs' needs 'logprobs': true", "top_logprobs");
  }
  if (!sampling.logprob_token_ids.empty() && !wanted) {
    fields.fail("'logprob_token_ids' needs 'logprobs': true", "logprob_token_ids");
  }
  if (wanted && sampling.logprob_token_ids.empty()) sampling.logprobs = top.value_or(0);
  const auto prompt_logprobs = read_logprobs_count(fields, "prompt_logprobs", limits);
  if (prompt_logprobs && request.options.stream) {
    fields.fail("'prompt_logprobs' are not available with 'stream': true", "prompt_logprobs");
  }
  sampling.prompt_logprobs = prompt_logprobs;
}

void read_refused(FieldReader& fields) {
  for (const std::string_view name : kRefusedFields) {
    if (fields.failed()) return;
    fields.refuse(name);
  }
  for (const std::string_view name : kIgnoredFields) fields.find(name);
}

// The model is shown the tools by its template. A call cannot be forced; it is part of the text
// unless --enable-auto-tool-choice takes it out.
void read_tool_fields(FieldReader& fields, const RequestLimits& limits, TemplateContext& context) {
  json::array tools = read_tools(fields);
  const json::value* choice = fields.find("tool_choice");
  if (choice != nullptr && *choice != "none" && *choice != "auto") {
    return fields.fail("'tool_choice' other than \"none\" and \"auto\" is not supported",
                       "tool_choice");
  }
  if (choice != nullptr && *choice == "auto" && tools.empty()) {
    return fields.fail("'tool_choice' \"auto\" needs 'tools'", "tool_choice");
  }
  const bool is_none = choice != nullptr && *choice == "none";
  context.may_call = !tools.empty() && !is_none;
  if (tools.empty() || (is_none && limits.exclude_tools_when_tool_choice_none)) return;
  context.text_bytes += text_bytes(tools);
  context.variables["tools"] = std::move(tools);
  context.must_matter.emplace_back("tools");
}

void read_other_variables(FieldReader& fields, TemplateContext& context) {
  json::array documents = read_documents(fields);
  if (!documents.empty()) {
    context.text_bytes += text_bytes(documents);
    context.variables["documents"] = std::move(documents);
    context.must_matter.emplace_back("documents");
  }
  const auto effort = fields.string("reasoning_effort");
  if (!effort) return;
  if (std::find(std::begin(kEfforts), std::end(kEfforts), *effort) == std::end(kEfforts)) {
    return fields.fail(
        "'reasoning_effort' must be one of none, minimal, low, medium, high, xhigh "
        "and max",
        "reasoning_effort");
  }
  context.variables["reasoning_effort"] = *effort;
  context.must_matter.emplace_back("reasoning_effort");
}

void read_kwargs(FieldReader& fields, const RequestLimits& limits, TemplateContext& context) {
  context.variables = limits.template_kwargs;
  const json::value* value = fields.find("chat_template_kwargs");
  if (value == nullptr) return;
  const json::object* kwargs = value->if_object();
  if (kwargs == nullptr) {
    return fields.fail("'chat_template_kwargs' must be an object", "chat_template_kwargs");
  }
  context.text_bytes += text_bytes(*value);
  for (const auto& item : *kwargs) context.variables.insert_or_assign(item.key(), item.value());
}

// As transformers' apply_chat_template does it: up to and with the last message's text; if the
// template has cut that text's trailing space off, without it.
std::optional<std::string> up_to(std::string&& text, std::string_view last) {
  const std::size_t begin = std::min(last.find_first_not_of(kSpace), last.size());
  const std::string_view left_stripped = last.substr(begin);
  const std::size_t end = left_stripped.find_last_not_of(kSpace) + 1;  // npos + 1 is 0
  const std::string_view stripped = left_stripped.substr(0, end);
  const std::size_t at = text.rfind(stripped);
  if (at == std::string::npos) return std::nullopt;
  const bool keeps_space = text.compare(at, left_stripped.size(), left_stripped) == 0;
  text.resize(at + (keeps_space ? left_stripped.size() : stripped.size()));
  return std::move(text);
}

}  // namespace

TemplateContext read_template_context(FieldReader& fields, const RequestLimits& limits) {
  TemplateContext context;
  read_kwargs(fields, limits, context);
  const bool continues = fields.flag("continue_final_message", false);
  const bool add_generation_prompt = fields.flag("add_generation_prompt", !continues);
  if (continues && add_generation_prompt) {
    fields.fail("Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
                "continue_final_message");
  }
  json::array messages = read_messages(fields);
  read_tool_fields(fields, limits, context);
  read_other_variables(fields, context);
  if (fields.failed()) return {};
  context.text_bytes += text_bytes(messages);
  const json::object& last = messages.back().get_object();
  context.response_role =
      add_generation_prompt ? "assistant" : std::string(last.at("role").get_string());
  if (continues) context.continued = std::string(last.at("content").get_string());
  context.variables["messages"] = std::move(messages);
  context.variables["add_generation_prompt"] = add_generation_prompt;
  return context;
}

Parsed<ChatRequest> read_chat_request(FieldReader& fields, const RequestLimits& limits) {
  ChatRequest request;
  request.options = read_generation_options(fields, limits);
  read_refused(fields);
  read_logprobs(fields, limits, request);
  const bool echo = fields.flag("echo", false);
  request.context = read_template_context(fields, limits);
  const bool parallel_calls = fields.flag("parallel_tool_calls", true);
  if (limits.parse_tool_calls && request.context.may_call) {
    request.most_tool_calls = parallel_calls ? kMaxToolCalls : 1;
    request.options.skip_special_tokens = false;  // the tags of calls may be such tokens
  }
  if (request.options.max_tokens == 0) {
    fields.fail("'max_tokens' must be at least 1", "max_tokens");
  }
  if (fields.failed()) return fields.error();
  const json::object& last =
      request.context.variables.at("messages").get_array().back().get_object();
  if (echo && last.at("role").get_string() == request.context.response_role) {
    request.echo_text = std::string(last.at("content").get_string());
  }
  return request;
}

Parsed<std::string> render_chat(const TemplateContext& context, const ChatTemplate& chat_template) {
  Result<std::string> text = chat_template.render(json::serialize(context.variables));
  if (!text.ok()) return from_error(text.error());
  for (const std::string_view name : context.must_matter) {
    json::object without = context.variables;
    without.erase(name);
    const Result<std::string> other = chat_template.render(json::serialize(without));
    if (other.ok() && *other == *text) {
      return bad_request(
          fmt::format("'{}' is not supported: this model's chat template does not use it", name),
          std::string(name));
    }
  }
  if (!context.continued) return std::move(*text);
  std::optional<std::string> cut = up_to(std::move(*text), *context.continued);
  if (cut) return std::move(*cut);
  return bad_request(
      "'continue_final_message': this model's chat template does not show the final message as it "
      "is",
      "continue_final_message");
}

}  // namespace bitcpm
