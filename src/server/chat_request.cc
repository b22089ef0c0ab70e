#include "server/chat_request.h"

#include <fmt/format.h>

#include <algorithm>

namespace bitcpm {
namespace {

constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};

constexpr std::string_view kRefusedFields[] = {
    "tools",     "functions",         "function_call",          "echo",
    "documents", "chat_template",     "continue_final_message", "mm_processor_kwargs",
    "audio",     "web_search_options"};

constexpr std::string_view kIgnoredFields[] = {
    "parallel_tool_calls", "include_reasoning", "reasoning_effort", "metadata", "store",
    "service_tier"};

std::string where(std::size_t index, std::string_view field) {
  return fmt::format("messages[{}].{}", index, field);
}

// Content as one string: itself, its text parts joined by line breaks, or empty if null.
std::string read_content(FieldReader& fields, const json::value* content, std::size_t index) {
  if (content == nullptr || content->is_null()) return {};
  if (const json::string* text = content->if_string()) return {text->data(), text->size()};
  const json::array* parts = content->if_array();
  std::string joined;
  if (parts == nullptr) {
    fields.fail(where(index, "content") + " must be a string or a list of text parts", "messages");
    return joined;
  }
  for (std::size_t i = 0; i < parts->size(); ++i) {
    const json::object* part = (*parts)[i].if_object();
    const json::value* type = part == nullptr ? nullptr : part->if_contains("type");
    const json::value* text = part == nullptr ? nullptr : part->if_contains("text");
    if (type == nullptr || *type != "text" || text == nullptr || !text->is_string()) {
      fields.fail(where(index, "content") + ": only parts of type \"text\" are supported",
                  "messages");
      return {};
    }
    if (i > 0) joined += '\n';
    joined.append(text->get_string().data(), text->get_string().size());
  }
  return joined;
}

json::object read_message(FieldReader& fields, const json::value& value, std::size_t index) {
  json::object message;
  const json::object* given = value.if_object();
  if (given == nullptr) {
    fields.fail(fmt::format("messages[{}] must be an object", index), "messages");
    return message;
  }
  FieldReader reader(*given);
  const std::string_view role = reader.string("role").value_or("");
  if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles)) {
    fields.fail(where(index, "role") + " must be system, user, assistant or tool", "messages");
  }
  reader.refuse("tool_calls");
  reader.refuse("function_call");
  const json::value* content = reader.find("content");
  if (content == nullptr && role != "assistant") {
    fields.fail(where(index, "content") + " is missing", "messages");
  }
  message["role"] = role == "developer" ? "system" : role;
  message["content"] = read_content(fields, content, index);
  for (const char* name : {"name", "tool_call_id"}) {
    if (const auto text = reader.string(name)) message[name] = *text;
  }
  if (reader.failed()) {
    fields.fail(fmt::format("messages[{}]: {}", index, reader.error().message), "messages");
  }
  return message;
}

json::array read_messages(FieldReader& fields) {
  json::array messages;
  const json::value* value = fields.find("messages");
  const json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->empty() || list->size() > kMaxMessages) {
    fields.fail(fmt::format("'messages' must be a list of 1 to {} messages", kMaxMessages),
                "messages");
    return messages;
  }
  for (std::size_t i = 0; i < list->size() && !fields.failed(); ++i) {
    messages.push_back(read_message(fields, (*list)[i], i));
  }
  return messages;
}

void read_logprobs(FieldReader& fields, const RequestLimits& limits, ChatRequest& request) {
  const bool wanted = fields.flag("logprobs", false);
  const auto top = fields.integer("top_logprobs", 0, limits.max_logprobs);
  if (top.value_or(0) > 0 && !wanted) {
    fields.fail("'top_logprobs' needs 'logprobs': true", "top_logprobs");
  }
  if (wanted) {
    request.options.sampling.logprobs = static_cast<std::int32_t>(top.value_or(0));
  }
  const auto prompt_logprobs = fields.integer("prompt_logprobs", 0, limits.max_logprobs);
  if (prompt_logprobs && request.options.stream) {
    fields.fail("'prompt_logprobs' are not available with 'stream': true", "prompt_logprobs");
  }
  request.options.sampling.prompt_logprobs = prompt_logprobs;
}

void read_refused(FieldReader& fields) {
  for (const std::string_view name : kRefusedFields) {
    if (fields.failed()) return;
    fields.refuse(name);
  }
  for (const std::string_view name : kIgnoredFields) fields.find(name);
  const json::value* choice = fields.find("tool_choice");
  if (choice != nullptr && *choice != "none" && *choice != "auto") {
    fields.fail("'tool_choice' is not supported yet", "tool_choice");
  }
}

}  // namespace

TemplateContext read_template_context(FieldReader& fields) {
  TemplateContext result;
  json::object context;
  if (const json::value* value = fields.find("chat_template_kwargs")) {
    if (const json::object* kwargs = value->if_object()) {
      context = *kwargs;
    } else {
      fields.fail("'chat_template_kwargs' must be an object", "chat_template_kwargs");
    }
  }
  const bool add_generation_prompt = fields.flag("add_generation_prompt", true);
  json::array messages = read_messages(fields);
  if (fields.failed()) return {};
  for (const json::value& message : messages) {
    result.text_bytes += message.at("content").as_string().size();
  }
  result.response_role = add_generation_prompt
                             ? "assistant"
                             : std::string(messages.back().as_object().at("role").as_string());
  context["messages"] = std::move(messages);
  context["add_generation_prompt"] = add_generation_prompt;
  result.json = json::serialize(context);
  return result;
}

Parsed<ChatRequest> read_chat_request(FieldReader& fields, const RequestLimits& limits) {
  ChatRequest request;
  request.options = read_generation_options(fields, limits);
  read_refused(fields);
  read_logprobs(fields, limits, request);
  request.context = read_template_context(fields);
  if (request.options.max_tokens == 0) {
    fields.fail("'max_tokens' must be at least 1", "max_tokens");
  }
  if (fields.failed()) return fields.error();
  return request;
}

}  // namespace bitcpm
