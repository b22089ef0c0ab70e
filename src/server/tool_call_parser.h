#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitcpm {

// What one piece of an answer adds to one of its tool calls.
struct ToolCallDelta {
  std::size_t index = 0;  // of the call in the answer
  std::string name;       // of the function, whole, in a call's first delta; then empty
  std::string arguments;  // the next piece of a JSON object's text

  bool is_first() const { return !name.empty(); }
};

// Where a JSON object's "name" and "arguments" are, found as its text comes. Strict in what it
// follows (the object's own braces, keys and strings), blind to what the arguments hold beyond
// their brackets and strings.
class CallScanner {
 public:
  enum class State { kOpen, kDone, kBroken };

  State push(char c);  // one more byte; kDone with the object's last brace
  const std::string& name() const { return name_; }  // empty: not there yet
  // The arguments' text so far; nothing while there is none.
  std::optional<std::string_view> arguments() const;
  const std::string& text() const { return text_; }  // all that was pushed

 private:
  State close_member();
  void begin_value();

  std::string text_, key_, name_;
  std::size_t depth_ = 0;  // of brackets; 1: in the object itself
  std::size_t value_begin_ = 0;
  std::size_t arguments_begin_ = 0, arguments_end_ = 0;  // 0: not there, still open
  bool in_string_ = false, is_escaped_ = false, in_value_ = false;
};

// Takes tool calls out of an answer's text as it comes, in the form of the Hermes models, vLLM's
// parser "hermes": <tool_call>{"name": "f", "arguments": {…}}</tool_call>, any number of them. What
// turns out to be no such call stays text. Knows neither JSON documents nor tokens.
class ToolCallParser {
 public:
  // at_most: calls; further ones are dropped.
  explicit ToolCallParser(std::size_t at_most) : at_most_(at_most) {}

  struct Output {
    std::string content;
    std::vector<ToolCallDelta> calls;
  };

  Output push(std::string_view text);  // whole UTF-8 characters
  Output finish();                     // what was held back

  std::size_t calls() const { return calls_; }

 private:
  enum class Place { kText, kCall, kAfterObject };

  std::string_view take_text(std::string_view text, Output& output);
  std::string_view take_call(std::string_view text, Output& output);
  std::string_view take_tail(std::string_view text);
  void show_call(Output& output);
  void give_up_call(Output& output);
  void add_content(std::string_view text, Output& output);

  std::size_t at_most_;
  Place place_ = Place::kText;
  std::string held_;       // kText: may begin a tag; kAfterObject: may be the closing one
  std::string spaces_;     // before what may be a call: no content if it is one
  CallScanner scanner_;    // kCall
  std::size_t calls_ = 0;  // that were begun to be shown
  bool is_shown_ = false;  // the current one was
  std::size_t shown_arguments_ = 0;
};

}  // namespace bitcpm
