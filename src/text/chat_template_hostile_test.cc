#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "text/chat_template.h"

namespace bitcpm {
namespace {

std::string repeat(const std::string& unit, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += unit;
  return text;
}

struct Hostile {
  const char* name;
  std::string source;
  std::string reason;  // a part of it; empty: any result will do, as long as one comes
};

std::string in_loop(const std::string& body) {
  return "{% for i in range(100000) %}{% for j in range(100000) %}" + body +
         "{% endfor %}{% endfor %}";
}

// Grows a value in each step; `step` is an expression over ns.x.
std::string grow(const std::string& first, const std::string& step, int steps = 100000) {
  return "{% set ns = namespace(x=" + first + ") %}{% for i in range(" + std::to_string(steps) +
         ") %}{% set ns.x = " + step + " %}{% endfor %}";
}

std::vector<Hostile> hostile_templates() {
  const std::string kTooMuch = "takes more work than one render may";
  return {
      {"endless loop", in_loop(""), kTooMuch},
      {"endless output", in_loop("aaaaaaaaaaaaaaaa"), kTooMuch},
      {"doubling string", grow("'a'", "ns.x ~ ns.x"), kTooMuch},
      {"doubling by +", grow("'a'", "ns.x + ns.x"), kTooMuch},
      {"doubling list", grow("[1]", "ns.x + ns.x") + "{{ ns.x|length }}", ""},
      {"gigantic repetition", "{{ 'a' * 1000000000000 }}", "line 1: "},
      {"gigantic list", "{{ ([1] * 1000000000000)|length }}", ""},
      {"gigantic range", "{{ range(1000000000000)|list|length }}", "line 1: "},
      {"gigantic replacement",
       grow("'a'", "ns.x ~ ns.x", 22) + "{{ ns.x.replace('', ns.x)|length }}", kTooMuch},
      {"gigantic replacement by filter",
       grow("'a'", "ns.x ~ ns.x", 22) + "{{ ns.x|replace('a', ns.x)|length }}", kTooMuch},
      {"gigantic join", grow("'a'", "ns.x ~ ns.x", 22) + "{{ ns.x.join(['']*100000)|length }}",
       kTooMuch},
      {"gigantic format", "{{ '{:999999999999}'.format(1)|length }}", kTooMuch},
      {"gigantic format of text",
       grow("'a'", "ns.x ~ ns.x", 20) + "{{ ('{0}' * 100000).format(ns.x)|length }}", kTooMuch},
      {"format of a container", "{{ '{}'.format([1]) }}", "only strings and numbers"},
      {"gigantic printf", "{{ '%1000000000000d'|format(1)|length }}", "line 1: "},
      {"gigantic indent", "{{ [[1]]|tojson(indent=1000000000000)|length }}", ""},
      {"gigantic padding", "{{ 'a'|center(1000000000000)|length }}", "line 1: "},
      {"many slow searches", grow("'a'", "ns.x ~ ns.x", 22) + in_loop("{{ ns.x.find('b') }}"),
       kTooMuch},
      {"list doubling in depth", grow("[1]", "[ns.x, ns.x]", 60) + "{{ ns.x }}", kTooMuch},
      {"JSON doubling in depth", grow("[1]", "[ns.x, ns.x]", 60) + "{{ ns.x|tojson }}", kTooMuch},
      {"text doubling in depth", grow("[1]", "[ns.x, ns.x]", 60) + "{{ ns.x ~ '' }}", kTooMuch},
      {"comparison doubling in depth",
       grow("[1]", "[ns.x, ns.x]", 60) + "{% set y = ns.x %}" + grow("[1]", "[ns.x, ns.x]", 60) +
           "{{ y == ns.x }}",
       ""},
      {"list 100000 deep", grow("[]", "[ns.x]"), ""},
      {"list 100000 deep, printed", grow("[]", "[ns.x]") + "{{ ns.x }}", ""},
      {"list 100000 deep as JSON", grow("[]", "[ns.x]") + "{{ ns.x|tojson }}", "nested too deeply"},
      {"map 100000 deep", grow("{}", "{'a': ns.x}") + "{{ ns.x|string|length }}", ""},
      {"endless recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "line 1: "},
      {"recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "line 1: "},
      {"deep brackets", "{{ " + repeat("[", 100000) + repeat("]", 100000) + " }}", "line 1: "},
      {"deep parentheses", "{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}",
       "line 1: "},
      {"deep negation", "{{ " + repeat("not ", 60000) + "1 }}", ""},
      {"deep minus", "{{ " + repeat("-", 250000) + "1 }}", ""},
      {"long chain of attributes", "{{ a" + repeat(".a", 100000) + " }}", ""},
      {"long chain of filters", "{{ 1" + repeat("|string", 30000) + " }}", ""},
      {"long sum", "{{ i" + repeat("+i", 120000) + " }}", ""},
      {"deep conditionals", repeat("{% if 1 %}", 11000) + repeat("{% endif %}", 11000), ""},
      {"long chain of elif", "{% if 0 %}" + repeat("{% elif 0 %}", 20000) + "{% endif %}", ""},
      {"include", "{% include '/etc/passwd' %}", "line 1: unknown statement include"},
      {"import", "{% import '/etc/passwd' as x %}", "line 1: unknown statement import"},
      {"extends", "{% extends '/etc/passwd' %}", "line 1: unknown statement extends"},
      {"Python's insides", "{{ ''.__class__.__mro__ }}", "line 1: "},
      {"unknown filter", "a\nb\n{{ 1|nonsense }}", "line 3: filter nonsense is unknown"},
      {"unknown function", "\n{{ nonsense() }}", "line 2: nonsense is unknown"},
      {"unknown statement", "\n\n{% nonsense %}", "line 3: unknown statement nonsense"},
      {"unclosed block", "{% if 1 %}", "line 1: "},
      {"unclosed tag", "\n{{ 'a", "line 2: "},
      {"NUL in a time format", "{{ strftime_now('\\u0000') }}", "line 1: "},
      {"gigantic time format", "{{ strftime_now('%1000000000d')|length }}", ""},
      {"long time format", "{{ strftime_now('%A' * 10000)|length }}", ""},
      {"huge number", "{{ " + repeat("9", 100000) + " }}", ""},
      {"division by zero", "{{ 1 // 0 }}{{ 1 % 0 }}", "line 1: "},
      {"overflow", "{{ (-9223372036854775807 - 1) // -1 }}{{ 2 ** 1000000 }}", ""},
  };
}

// Protects the process from a checkpoint's template: a result or a reason, soon, without memory
// or stack running out. In a thread, as the server's renders are.
TEST(HostileChatTemplate, EndsWithAReason) {
  for (const Hostile& hostile : hostile_templates()) {
    SCOPED_TRACE(hostile.name);
    const auto start = std::chrono::steady_clock::now();
    std::string outcome;
    std::thread([&] {
      const auto loaded = ChatTemplate::load("", hostile.source);
      const auto text = loaded.ok() ? loaded.value().render(R"({"messages": []})")
                                    : Result<std::string>(loaded.error());
      outcome = text.ok() ? "rendered" : text.error().message;
    }).join();
    EXPECT_NE(outcome.find(hostile.reason), std::string::npos) << outcome;
    EXPECT_EQ(outcome.find('\n'), std::string::npos) << outcome;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  }
}

// Protects memory and prompts: the output of one render is bounded.
TEST(HostileChatTemplate, OutputIsBounded) {
  const auto loaded = ChatTemplate::load("", "{{ 'a' * n }}");
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.value().render(R"({"n": 8388608})").value().size(), 8388608u);
  const auto refused = loaded.value().render(R"({"n": 8388609})");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kInvalid);
  EXPECT_EQ(refused.error().message, "chat template: output of 8388609 bytes, more than 8388608");
}

// Protects from contexts and configurations that are not what they should be.
TEST(HostileChatTemplate, RefusesBadJson) {
  const auto loaded = ChatTemplate::load("", "{{ messages }}");
  ASSERT_TRUE(loaded.ok());
  const std::string kContexts[] = {"", "[]", "{\"a\": }", "\xff", repeat("{\"a\":", 100000)};
  for (const std::string& context : kContexts) {
    const auto text = loaded.value().render(context);
    ASSERT_FALSE(text.ok());
    EXPECT_EQ(text.error().code, Errc::kInvalid);
  }
  for (const char* config :
       {"[]", "{", R"({"chat_template": 7})", R"({"chat_template": ["x"]})",
        R"({"chat_template": [{"name": "default"}]})", R"({"bos_token": 1})",
        R"({"eos_token": {"text": "x"}})", R"({"add_bos_token": "yes"})",
        R"({"additional_special_tokens": "x"})", R"({"chat_template": "{{"})"}) {
    const auto refused = ChatTemplate::load(config, "");
    ASSERT_FALSE(refused.ok()) << config;
    EXPECT_EQ(refused.error().code, Errc::kCorrupt) << config;
    EXPECT_TRUE(refused.error().message.starts_with("tokenizer_config.json: ")) << config;
  }
}

}  // namespace
}  // namespace bitcpm
