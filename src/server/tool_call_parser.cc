#include "server/tool_call_parser.h"

#include <algorithm>
#include <utility>

#include "base/json.h"

namespace bitcpm {
namespace {

constexpr std::string_view kOpen = "<tool_call>";
constexpr std::string_view kClose = "</tool_call>";
constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxNameBytes = 256;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// The length of the longest end of `text` that `tag` begins with.
std::size_t begun_tag(std::string_view text, std::string_view tag) {
  for (std::size_t size = std::min(text.size(), tag.size() - 1); size > 0; --size) {
    if (text.ends_with(tag.substr(0, size))) return size;
  }
  return 0;
}

// The string that a JSON string's text stands for; nothing if it is none.
std::optional<std::string> unquoted(std::string_view text) {
  const Result<json::value> value = parse_json(text);
  if (!value.ok() || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

}  // namespace

CallScanner::State CallScanner::push(char c) {
  text_ += c;
  if (in_string_) {
    if (std::exchange(is_escaped_, false)) return State::kOpen;
    if (c == '\\') is_escaped_ = true;
    if (c == '"') in_string_ = false;
    return State::kOpen;
  }
  if (is_space(c)) return State::kOpen;
  if (depth_ == 0) {
    if (c != '{') return State::kBroken;
    depth_ = 1;
    value_begin_ = text_.size();  // of the first key
    return State::kOpen;
  }
  if (depth_ == 1) {
    if (c == ':' && !in_value_) {
      begin_value();
      return State::kOpen;
    }
    if (c == ',' || c == '}') {
      if (close_member() == State::kBroken) return State::kBroken;
      if (c == ',') return State::kOpen;
      return arguments_end_ > 0 && !name_.empty() ? State::kDone : State::kBroken;
    }
    if (!in_value_ && c != '"') return State::kBroken;
  }
  if (c == '"') in_string_ = true;
  if (c == '{' || c == '[') {
    const bool is_arguments = depth_ == 1 && (key_ == "arguments" || key_ == "parameters");
    if (is_arguments && c == '{' && arguments_begin_ == 0) arguments_begin_ = text_.size() - 1;
    if (++depth_ > kMaxDepth) return State::kBroken;
  }
  if (c == '}' || c == ']') {
    --depth_;
    const bool is_arguments = key_ == "arguments" || key_ == "parameters";
    if (depth_ == 1 && is_arguments && arguments_end_ == 0) arguments_end_ = text_.size();
  }
  return State::kOpen;
}

// The key that ended before this colon is known; its value begins.
void CallScanner::begin_value() {
  const std::string_view key(text_.data() + value_begin_, text_.size() - 1 - value_begin_);
  key_ = unquoted(key).value_or("");
  value_begin_ = text_.size();
  in_value_ = true;
}

CallScanner::State CallScanner::close_member() {
  if (!in_value_) return State::kBroken;
  const std::string_view value(text_.data() + value_begin_, text_.size() - 1 - value_begin_);
  if (key_ == "name") {
    name_ = unquoted(value).value_or("");
    if (name_.empty() || name_.size() > kMaxNameBytes) return State::kBroken;
  }
  if ((key_ == "arguments" || key_ == "parameters") && arguments_end_ == 0) return State::kBroken;
  in_value_ = false;
  key_.clear();
  value_begin_ = text_.size();
  return State::kOpen;
}

std::optional<std::string_view> CallScanner::arguments() const {
  if (arguments_begin_ == 0) return std::nullopt;
  const std::size_t end = arguments_end_ == 0 ? text_.size() : arguments_end_;
  return std::string_view(text_).substr(arguments_begin_, end - arguments_begin_);
}

ToolCallParser::Output ToolCallParser::push(std::string_view text) {
  Output output;
  while (!text.empty()) {
    switch (place_) {
      case Place::kText:
        text = take_text(text, output);
        break;
      case Place::kCall:
        text = take_call(text, output);
        break;
      case Place::kAfterObject:
        text = take_tail(text);
        break;
    }
  }
  if (place_ == Place::kCall) show_call(output);
  return output;
}

// Up to a tag. White space before one is held back: none of it is content if a call follows.
std::string_view ToolCallParser::take_text(std::string_view text, Output& output) {
  held_ += text;
  const std::size_t tag = held_.find(kOpen);
  const std::size_t sure = tag != std::string::npos ? tag : held_.size() - begun_tag(held_, kOpen);
  add_content(std::string_view(held_).substr(0, sure), output);
  if (tag == std::string::npos) {
    held_.erase(0, sure);
    return {};
  }
  const std::size_t rest = held_.size() - (tag + kOpen.size());
  held_.clear();
  place_ = Place::kCall;
  scanner_ = CallScanner();
  is_shown_ = false;
  shown_arguments_ = 0;
  return text.substr(text.size() - rest);
}

void ToolCallParser::add_content(std::string_view text, Output& output) {
  const std::size_t last = text.find_last_not_of(" \n\t\r");
  if (last == std::string_view::npos) {
    spaces_ += text;
    return;
  }
  output.content += std::exchange(spaces_, std::string(text.substr(last + 1)));
  output.content += text.substr(0, last + 1);
}

std::string_view ToolCallParser::take_call(std::string_view text, Output& output) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const CallScanner::State state = scanner_.push(text[i]);
    if (state == CallScanner::State::kOpen) continue;
    if (state == CallScanner::State::kDone) {
      show_call(output);
      spaces_.clear();
      place_ = Place::kAfterObject;
    } else {
      give_up_call(output);
    }
    return text.substr(i + 1);
  }
  return {};
}

// The name as soon as it is known, then the arguments as they come.
void ToolCallParser::show_call(Output& output) {
  const auto arguments = scanner_.arguments();
  if (scanner_.name().empty() || !arguments) return;
  if (!is_shown_ && calls_ == at_most_) return;
  ToolCallDelta delta;
  if (!std::exchange(is_shown_, true)) {
    delta.name = scanner_.name();
    ++calls_;
  }
  delta.index = calls_ - 1;
  delta.arguments = arguments->substr(shown_arguments_);
  shown_arguments_ = arguments->size();
  if (delta.is_first() || !delta.arguments.empty()) output.calls.push_back(std::move(delta));
}

// It was no call. What has been shown of it cannot be taken back; else it is text.
void ToolCallParser::give_up_call(Output& output) {
  place_ = Place::kText;
  if (is_shown_) return;
  output.content += std::exchange(spaces_, {});
  output.content += kOpen;
  add_content(scanner_.text(), output);
}

// After the object only its closing tag counts; anything else is text again.
std::string_view ToolCallParser::take_tail(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size() && held_.size() < kClose.size()) {
    if (held_.empty() && is_space(text[i])) {
      ++i;
      continue;
    }
    if (text[i] != kClose[held_.size()]) {
      place_ = Place::kText;  // with what was held, if it began to look like the tag
      return text.substr(i);
    }
    held_ += text[i++];
  }
  if (held_.size() == kClose.size()) {
    held_.clear();
    place_ = Place::kText;
  }
  return text.substr(i);
}

ToolCallParser::Output ToolCallParser::finish() {
  Output output;
  if (place_ == Place::kCall) give_up_call(output);
  if (place_ == Place::kText && !held_.empty()) add_content(std::exchange(held_, {}), output);
  if (calls_ == 0) output.content += spaces_;
  return output;
}

}  // namespace bitcpm
