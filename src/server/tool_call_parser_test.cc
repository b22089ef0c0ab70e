#include "server/tool_call_parser.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/json.h"

namespace bitcpm {
namespace {

struct Call {
  std::string name, arguments;
  bool operator==(const Call&) const = default;
};

struct Taken {
  std::string content;
  std::vector<Call> calls;
};

void add(ToolCallParser::Output&& output, Taken& taken) {
  taken.content += output.content;
  for (const ToolCallDelta& delta : output.calls) {
    if (delta.is_first()) {
      ASSERT_EQ(delta.index, taken.calls.size());
      taken.calls.push_back({delta.name, ""});
    }
    ASSERT_LT(delta.index, taken.calls.size());
    taken.calls[delta.index].arguments += delta.arguments;
  }
}

// The text in pieces of `size` bytes.
Taken parse(std::string_view text, std::size_t size, std::size_t at_most = 100) {
  ToolCallParser parser(at_most);
  Taken taken;
  for (std::size_t at = 0; at < text.size(); at += size) {
    add(parser.push(text.substr(at, size)), taken);
  }
  add(parser.finish(), taken);
  EXPECT_EQ(parser.calls(), taken.calls.size());
  return taken;
}

// Protects: what is a call and what is text, however the text is cut into pieces.
TEST(ToolCallParser, TakesCallsOutOfText) {
  struct Case {
    const char* name;
    std::string text;
    std::string content;
    std::vector<Call> calls;
  };
  const Case kCases[] = {
      {"text", "It is <b>sunny</b>. \n", "It is <b>sunny</b>. \n", {}},
      {"nothing", "", "", {}},
      {"one call",
       "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, {\"y\": \"}\"}]}}\n</tool_call>",
       "",
       {{"f", R"({"x": [1, {"y": "}"}]})"}}},
      {"text before",
       "Let me see.\n\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
       "Let me see.",
       {{"f", "{}"}}},
      {"two calls",
       "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>\n"
       "<tool_call>{\"name\": \"g\", \"arguments\": {\"b\": 2}}</tool_call>\n",
       "",
       {{"f", R"({"a": 1})"}, {"g", R"({"b": 2})"}}},
      {"arguments first, other members, another word for them",
       R"(<tool_call>{"id": [7], "parameters": {"k": "\"{"}, "name": "f"}</tool_call>)",
       "",
       {{"f", R"({"k": "\"{"})"}}},
      {"a name with escapes, arguments in Chinese",
       R"(<tool_call>{"name": "\u0066\"", "arguments": {"城市": "北京"}}</tool_call>)",
       "",
       {{"f\"", R"({"城市": "北京"})"}}},
      {"text after",
       R"(<tool_call>{"name":"f","arguments":{}}</tool_call> Done.)",
       " Done.",
       {{"f", "{}"}}},
      {"no closing tag",
       R"(<tool_call>{"name":"f","arguments":{"a":1}})",
       "",
       {{"f", R"({"a":1})"}}},
      {"another opening tag instead",
       R"(<tool_call>{"name":"f","arguments":{}}<tool_call>{"name":"g","arguments":{}})",
       "",
       {{"f", "{}"}, {"g", "{}"}}},
      {"half a tag", "a <tool_ca", "a <tool_ca", {}},
      {"no object", "a <tool_call> f(x)", "a <tool_call> f(x)", {}},
      {"no name",
       R"(<tool_call>{"arguments": {}}</tool_call>)",
       R"(<tool_call>{"arguments": {}}</tool_call>)",
       {}},
      {"a name that is no string",
       R"(<tool_call>{"name": 1, "arguments": {}}</tool_call>)",
       R"(<tool_call>{"name": 1, "arguments": {}}</tool_call>)",
       {}},
      {"no arguments",
       R"(<tool_call>{"name": "f"}</tool_call>)",
       R"(<tool_call>{"name": "f"}</tool_call>)",
       {}},
      {"arguments that are no object",
       R"(<tool_call>{"name": "f", "arguments": "x"}</tool_call>)",
       R"(<tool_call>{"name": "f", "arguments": "x"}</tool_call>)",
       {}},
      {"cut short before the arguments",
       R"(<tool_call>{"name": "f", "argum)",
       R"(<tool_call>{"name": "f", "argum)",
       {}},
      {"cut short in them",
       R"(<tool_call>{"name": "f", "arguments": {"a": "b)",
       "",
       {{"f", R"({"a": "b)"}}},
      {"brackets without end",
       "<tool_call>{\"a\": " + std::string(100, '['),
       "<tool_call>{\"a\": " + std::string(100, '['),
       {}},
  };
  for (const Case& c : kCases) {
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{1000}}) {
      const Taken taken = parse(c.text, size);
      EXPECT_EQ(taken.content, c.content) << c.name << ", pieces of " << size;
      EXPECT_EQ(taken.calls, c.calls) << c.name << ", pieces of " << size;
    }
  }
}

// Protects streaming: a call is told of when its name is known, not when it is whole.
TEST(ToolCallParser, ShowsArgumentsAsTheyCome) {
  ToolCallParser parser(9);
  EXPECT_TRUE(parser.push(R"(<tool_call>{"name": "f",)").calls.empty());
  EXPECT_EQ(parser.push(R"( "arguments": {"a)").calls.at(0).name, "f");
  const auto more = parser.push(R"(bc": 1)").calls;
  ASSERT_EQ(more.size(), 1u);
  EXPECT_FALSE(more[0].is_first());
  EXPECT_EQ(more[0].arguments, "bc\": 1");
}

// Protects parallel_tool_calls: false.
TEST(ToolCallParser, DropsCallsBeyondTheMost) {
  const std::string call = R"(<tool_call>{"name":"f","arguments":{}}</tool_call>)";
  const Taken taken = parse(call + call + call, 5, 1);
  EXPECT_EQ(taken.calls, (std::vector<Call>{{"f", "{}"}}));
  EXPECT_EQ(taken.content, "");
}

}  // namespace
}  // namespace bitcpm
