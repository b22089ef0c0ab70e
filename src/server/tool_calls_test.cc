#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/test_site.h"

namespace bitcpm {
namespace {

constexpr std::string_view kTemplate =
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor "
    "%}";

// A server whose model writes a space and `text`, and whose template shows tools.
struct ToolSite {
  explicit ToolSite(std::string_view text, bool parses = true)
      : engine(script_of(text)), chat_template(ChatTemplate::load("", kTemplate).value()) {
    server = HttpServer::listen(test_config()).value();
    ServedModel model = test_model();
    model.defaults.parse_tool_calls = parses;
    server->serve(model, engine.port(), test_tokenizer(), chat_template);
  }

  // The request's further fields begin with a comma.
  std::string body(const std::string& fields) const {
    return R"({"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function",
        "function": {"name": "weather", "parameters": {}}}])" +
           fields + "}";
  }

  FakeEngine engine;
  ChatTemplate chat_template;
  std::unique_ptr<HttpServer> server;
};

constexpr std::string_view kPath = "/v1/chat/completions";
constexpr std::string_view kCalls =
    "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n"
    "</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>";

// Protects what clients read: calls apart from the text, whole and in OpenAI's shape.
TEST(ToolCalls, AreTakenOutOfAnAnswer) {
  const ToolSite site(kCalls);
  TestClient client(site.server->port());
  const json::value answer = client.ask(std::string(kPath), site.body("")).json();
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
  EXPECT_EQ(choice.at("message").at("content"), " Let me see.");
  const json::array& calls = choice.at("message").at("tool_calls").as_array();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].at("type"), "function");
  EXPECT_EQ(calls[0].at("function"),
            (json::value{{"name", "weather"}, {"arguments", R"({"city": "Paris"})"}}));
  EXPECT_EQ(calls[1].at("function"), (json::value{{"name", "weather"}, {"arguments", "{}"}}));
  EXPECT_NE(calls[0].at("id"), calls[1].at("id"));
  const json::value one =
      client.ask(std::string(kPath), site.body(R"(, "parallel_tool_calls": false)")).json();
  EXPECT_EQ(one.at("choices").at(0).at("message").at("tool_calls").as_array().size(), 1u);
}

// Protects streams: the pieces add up to the whole, a call's id and name come once, and first.
TEST(ToolCalls, AreStreamedInPieces) {
  const ToolSite site(kCalls);
  TestClient client(site.server->port());
  const auto events =
      sse_data(client.ask(std::string(kPath), site.body(R"(, "stream": true)")).body);
  std::string content, finish;
  std::vector<std::string> names, ids, arguments;
  for (const std::string& event : events) {
    if (event == "[DONE]") continue;
    const json::value chunk = json::parse(event);
    const json::value& choice = chunk.at("choices").at(0);
    if (!choice.at("finish_reason").is_null()) finish = choice.at("finish_reason").as_string();
    const json::object& delta = choice.at("delta").as_object();
    if (const json::value* text = delta.if_contains("content")) content += text->as_string();
    const json::value* calls = delta.if_contains("tool_calls");
    if (calls == nullptr) continue;
    for (const json::value& call : calls->as_array()) {
      const auto index = static_cast<std::size_t>(call.at("index").as_int64());
      if (index == names.size()) {
        names.emplace_back(call.at("function").at("name").as_string());
        ids.emplace_back(call.at("id").as_string());
        arguments.emplace_back();
      } else {
        EXPECT_FALSE(call.as_object().contains("id"));
      }
      ASSERT_LT(index, arguments.size());
      arguments[index] += call.at("function").at("arguments").as_string();
    }
  }
  EXPECT_EQ(content, " Let me see.");
  EXPECT_EQ(finish, "tool_calls");
  EXPECT_EQ(names, (std::vector<std::string>{"weather", "weather"}));
  EXPECT_EQ(arguments, (std::vector<std::string>{R"({"city": "Paris"})", "{}"}));
  EXPECT_NE(ids[0], ids[1]);
}

// Protects those who did not ask: without tools, with tool_choice none, or without the flag an
// answer's text is the model's; and an answer cut short says so.
TEST(ToolCalls, StayTextUnlessAskedFor) {
  struct Case {
    const char* name;
    bool parses;
    std::string fields;
    std::string finish;
    std::size_t calls;
  };
  const Case kCases[] = {
      {"asked for", true, "", "tool_calls", 2},
      {"no flag", false, "", "stop", 0},
      {"ruled out", true, R"(, "tool_choice": "none")", "stop", 0},
      {"auto", true, R"(, "tool_choice": "auto")", "tool_calls", 2},
      {"cut short", true, R"(, "max_tokens": 3)", "length", 0},
  };
  for (const Case& c : kCases) {
    const ToolSite site(kCalls, c.parses);
    TestClient client(site.server->port());
    const json::value answer = client.ask(std::string(kPath), site.body(c.fields)).json();
    const json::value& choice = answer.at("choices").at(0);
    EXPECT_EQ(std::string(choice.at("finish_reason").as_string()), c.finish) << c.name;
    const json::value* calls = choice.at("message").as_object().if_contains("tool_calls");
    EXPECT_EQ(calls == nullptr ? 0u : calls->as_array().size(), c.calls) << c.name;
    if (c.finish == "stop") {
      EXPECT_EQ(std::string(choice.at("message").at("content").as_string()),
                " " + std::string(kCalls))
          << c.name;
    }
  }
}

}  // namespace
}  // namespace bitcpm
