#include "server/chat_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace bitcpm {
namespace {

constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};

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

// The arguments of a call arrive as text that holds JSON; templates want the object. "" is {}.
std::optional<json::value> parse_arguments(const json::value* arguments) {
  constexpr std::size_t kMaxDepth = 16;
  if (arguments == nullptr || arguments->is_null()) return json::object();
  if (arguments->is_object()) return *arguments;
  const json::string* text = arguments->if_string();
  if (text == nullptr) return std::nullopt;
  if (text->empty()) return json::object();
  const Result<json::value> parsed =
      parse_json(*text, {.max_bytes = text->size(), .max_depth = kMaxDepth});
  if (!parsed.ok() || !parsed->is_object()) return std::nullopt;
  return *parsed;
}

std::optional<json::object> read_tool_call(const json::value& value) {
  const json::object* call = value.if_object();
  const json::value* function = call == nullptr ? nullptr : call->if_contains("function");
  if (function == nullptr || !function->is_object()) return std::nullopt;
  const json::value* name = function->get_object().if_contains("name");
  std::optional<json::value> arguments =
      parse_arguments(function->get_object().if_contains("arguments"));
  if (name == nullptr || !name->is_string() || !arguments) return std::nullopt;
  json::object result;
  const json::value* id = call->if_contains("id");
  if (id != nullptr && id->is_string()) result["id"] = *id;
  result["type"] = "function";
  result["function"] = json::object{{"name", *name}, {"arguments", std::move(*arguments)}};
  return result;
}

void read_tool_calls(FieldReader& fields, const json::value* value, std::size_t index,
                     json::object& message) {
  if (value == nullptr) return;
  const json::array* calls = value->if_array();
  if (calls == nullptr || calls->size() > kMaxTools) {
    return fields.fail(
        fmt::format("{} must be a list of at most {} calls", where(index, "tool_calls"), kMaxTools),
        "messages");
  }
  json::array& list = message["tool_calls"].emplace_array();
  for (const json::value& call : *calls) {
    std::optional<json::object> read = read_tool_call(call);
    if (!read) {
      return fields.fail(where(index, "tool_calls") +
                             ": each needs a function with a name and arguments, a JSON object "
                             "as text",
                         "messages");
    }
    list.push_back(std::move(*read));
  }
  if (list.empty()) message.erase("tool_calls");
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
  reader.refuse("function_call");
  const json::value* content = reader.find("content");
  if (content == nullptr && role != "assistant") {
    fields.fail(where(index, "content") + " is missing", "messages");
  }
  message["role"] = role == "developer" ? "system" : role;
  message["content"] = read_content(fields, content, index);
  for (const char* name : {"name", "tool_call_id", "reasoning", "reasoning_content"}) {
    if (const auto text = reader.string(name)) message[name] = *text;
  }
  if (const json::value* calls = reader.find("tool_calls")) {
    if (role == "assistant") {
      read_tool_calls(fields, calls, index, message);
    } else {
      reader.refuse("tool_calls");
    }
  }
  if (reader.failed()) {
    fields.fail(fmt::format("messages[{}]: {}", index, reader.error().message), "messages");
  }
  return message;
}

json::array read_objects(FieldReader& fields, std::string_view name, std::size_t max_count) {
  const json::value* value = fields.find(name);
  if (value == nullptr) return {};
  const json::array* list = value->if_array();
  const bool is_good = list != nullptr && list->size() <= max_count &&
                       std::all_of(list->begin(), list->end(),
                                   [](const json::value& item) { return item.is_object(); });
  if (is_good) return *list;
  fields.fail(fmt::format("'{}' must be a list of at most {} objects", name, max_count), name);
  return {};
}

bool is_tool(const json::object& tool) {
  const json::value* type = tool.if_contains("type");
  const json::value* function = tool.if_contains("function");
  if (type == nullptr || *type != "function" || function == nullptr || !function->is_object()) {
    return false;
  }
  const json::value* name = function->get_object().if_contains("name");
  const json::value* parameters = function->get_object().if_contains("parameters");
  return name != nullptr && name->is_string() && !name->get_string().empty() &&
         (parameters == nullptr || parameters->is_null() || parameters->is_object());
}

}  // namespace

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

json::array read_tools(FieldReader& fields) {
  json::array tools = read_objects(fields, "tools", kMaxTools);
  for (const json::value& tool : tools) {
    if (is_tool(tool.get_object())) continue;
    fields.fail(
        "each of 'tools' must have type \"function\" and a function with a name and, if any, "
        "parameters as an object",
        "tools");
    return {};
  }
  return tools;
}

json::array read_documents(FieldReader& fields) {
  return read_objects(fields, "documents", kMaxDocuments);
}

std::size_t text_bytes(const json::value& value) {
  if (const json::string* text = value.if_string()) return text->size();
  if (const json::array* list = value.if_array()) {
    return std::accumulate(
        list->begin(), list->end(), std::size_t{0},
        [](std::size_t sum, const json::value& item) { return sum + text_bytes(item); });
  }
  if (const json::object* object = value.if_object()) {
    return std::accumulate(object->begin(), object->end(), std::size_t{0},
                           [](std::size_t sum, const json::key_value_pair& item) {
                             return sum + item.key().size() + text_bytes(item.value());
                           });
  }
  return 0;
}

}  // namespace bitcpm
