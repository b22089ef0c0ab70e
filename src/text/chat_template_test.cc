#include "text/chat_template.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "text/text_test_data.h"

namespace bitcpm {
namespace {

// MiniCPM4.1's way of answering without thinking.
constexpr const char* kMiniCpm41 =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% if enable_thinking is defined and enable_thinking is false %}{{ "
    "'<think>\n\n</think>\n' }}{% endif %}{% endif %}";

// In the manner of Qwen 3: tools, namespace, reversed scan, Python's string methods.
constexpr const char* kQwenLike = R"({%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\n" }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == "user" and message.content is string and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.last = index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- if loop.index0 == ns.last %}
        {{- '[last]' }}
    {%- endif %}
{%- endfor %}
)";

// In the manner of Llama 3: BOS in the template, filters, a refusal.
constexpr const char* kLlamaLike = R"({{- bos_token }}
{% if messages[0]['role'] == 'system' %}
    {% set system_message = messages[0]['content'] | trim %}
    {% set messages = messages[1:] %}
    {{ '<|start_header_id|>system<|end_header_id|>\n\n' + system_message + '<|eot_id|>' -}}
{% endif %}
{% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate user/assistant') }}
    {% endif %}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' -}}
{% endfor %}
)";

std::string render(const std::string& source, const std::string& context,
                   const std::string& config = "") {
  const auto loaded = ChatTemplate::load(config, source);
  if (!loaded.ok()) return loaded.error().message;
  const auto text = loaded.value().render(context);
  return text.ok() ? text.value() : text.error().message;
}

struct Case {
  const char* name;
  std::string source, context, want;
};

// Protects the prompts that known model families are trained on.
TEST(ChatTemplate, RendersKnownFamilies) {
  const std::string kDialogue = R"("messages": [{"role": "system", "content": " S "},
      {"role": "user", "content": "问 <x>"},
      {"role": "assistant", "content": "<think>\nhm\n</think>\n\nA"},
      {"role": "user", "content": "Q"}])";
  const Case kCases[] = {
      {"MiniCPM4, built in", "",
       R"({"messages": [{"role": "user", "content": "你好 'q' & <b>"}],
           "add_generation_prompt": true})",
       "<|im_start|>user\n你好 'q' & <b><|im_end|>\n<|im_start|>assistant\n"},
      {"MiniCPM4 without generation prompt", "",
       R"({"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": false})",
       "<|im_start|>user\na<|im_end|>\n"},
      {"MiniCPM4.1 thinks by default", kMiniCpm41,
       R"({"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": true})",
       "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"},
      {"MiniCPM4.1 told not to think", kMiniCpm41,
       R"({"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": true,
           "enable_thinking": false})",
       "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n"},
      {"Qwen-like", kQwenLike, "{" + kDialogue + "}",
       "<|im_start|>system\n S <|im_end|>\n<|im_start|>user\n问 <x><|im_end|>\n"
       "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n[last]"},
      {"Qwen-like with tools", kQwenLike,
       R"({"messages": [], "tools": [{"type": "f", "name": "查", "n": 1, "arr": [1.0, true, null]}]})",
       "<|im_start|>system\n\n{\"type\": \"f\", \"name\": \"查\", \"n\": 1, "
       "\"arr\": [1.0, true, null]}<|im_end|>\n"},
      {"Llama-3-like", kLlamaLike, "{" + kDialogue + R"(, "bos_token": "<B>"})",
       "<B>\n    <|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
       "<|start_header_id|>user<|end_header_id|>\n\n问 <x><|eot_id|>"
       "<|start_header_id|>assistant<|end_header_id|>\n\n<think>\nhm\n</think>\n\nA<|eot_id|>"
       "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"},
      {"Llama-3-like refuses", kLlamaLike,
       R"({"messages": [{"role": "assistant", "content": "a"}], "bos_token": ""})",
       "chat template: line 9: Conversation roles must alternate user/assistant"},
  };
  for (const Case& c : kCases) EXPECT_EQ(render(c.source, c.context), c.want) << c.name;
}

// Protects what templates expect of transformers' Jinja and of Python.
TEST(ChatTemplate, BehavesLikeTransformers) {
  const std::string kContext = R"({"s": " a,b ", "d": {"z": 1, "a": [2, "x"]}, "big":
      9007199254740993, "f": 1e-7, "l": ["p", "q"], "n": null, "t": true, "e": {}})";
  const Case kCases[] = {
      {"integers stay integers", "{{ big }} {{ big|tojson }}", "",
       "9007199254740993 9007199254740993"},
      {"Python's names of constants", "{{ n }} {{ t }} {{ not t }}", "", "None True False"},
      {"undefined prints nothing", "[{{ nothing }}{{ d.nothing }}]", "", "[]"},
      {"undefined has no attributes", "\n{{ nothing.x }}", "",
       "chat template: line 2: undefined value"},
      {"missing content", "{{ '<' + d['content'] }}", "",
       "chat template: line 1: tried to use + operator on unsupported types string and undefined"},
      {"tools and documents are none", "{{ tools is none }}{{ documents is defined }}", "",
       "TrueTrue"},
      {"tojson like json.dumps", "{{ d|tojson }} {{ '<é\"\\n>'|tojson }} {{ f|tojson }}", "",
       "{\"z\": 1, \"a\": [2, \"x\"]} \"<é\\\"\\n>\" 1e-07"},
      {"tojson indented", "{{ d|tojson(indent=2) }}{{ e|tojson(indent=2) }}", "",
       "{\n  \"z\": 1,\n  \"a\": [\n    2,\n    \"x\"\n  ]\n}{}"},
      {"tojson's other arguments",
       "{{ d|tojson(sort_keys=true, separators=(',', ':'), ensure_ascii=true) }}"
       "{{ '😀'|tojson(ensure_ascii=true) }}",
       "", "{\"a\":[2,\"x\"],\"z\":1}\"\\ud83d\\ude00\""},
      {"string methods",
       "{{ s.strip() }}|{{ s.split(',')[1] }}|{{ s.strip().upper() }}|{{ s.replace('a', 'c') }}|"
       "{{ 'abc'.removeprefix('a').removesuffix('c') }}|{{ ', '.join(l) }}|{{ 'aXb'.split('X') }}|"
       "{{ '{}-{:>3}'.format('x', 7) }}|{{ 'abc'.find('c') }}|{{ 'a\nb'.splitlines()|length }}",
       "", "a,b|b |A,B| c,b |b|p, q|['a', 'b']|x-  7|2|2"},
      {"map methods",
       "{% for k, v in d.items() %}{{ k }}{% endfor %}{{ d.get('q', 5) }}{{ d.keys()|list }}", "",
       "za5['z', 'a']"},
      {"blocks leave no lines behind", "  {% if t %}\na\n  {% endif %}\nb\n", "", "a\nb"},
      {"loop controls",
       "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}"
       "{% endif %}{{ i }}{% endfor %}",
       "", "023"},
      {"generation blocks",
       "{% generation %}a{% endgeneration %} {%- generation -%} b {%-"
       " endgeneration -%} c",
       "", "abc"},
      {"macros and namespaces",
       "{% set ns = namespace(n=1) %}{% macro m(x, y=2) %}{{ x }}{{ y }}{% endmacro %}"
       "{% for i in l %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ m(1) }}",
       "", "312"},
      {"the clock", "{{ strftime_now('%Y')|length }}{{ strftime_now('%%') }}", "", "4%"},
      {"no HTML escapes", "{{ '<&>' }}", "", "<&>"},
  };
  for (const Case& c : kCases) EXPECT_EQ(render(c.source, kContext), c.want) << c.name;
}

// Protects where a template comes from, and which tokens it sees.
TEST(ChatTemplate, FollowsTheCheckpoint) {
  struct Source {
    const char* name;
    std::string config, jinja;
    bool built_in;
    std::string want;
  };
  const std::string kTokens = R"("bos_token": {"content": "<s>"}, "eos_token": "</s>",
      "pad_token": null, "additional_special_tokens": ["<x>", {"content": "<y>"}])";
  const Source kSources[] = {
      {"nothing", "", "", true, ""},
      {"config without template", "{" + kTokens + "}", "", true, ""},
      {"a null template", R"({"chat_template": null})", "", true, ""},
      {"config's string", R"({"chat_template": "c"})", "", false, "c"},
      {"the file wins", R"({"chat_template": "c"})", "j", false, "j"},
      {"the default of a list",
       R"({"chat_template": [{"name": "tool_use", "template": "t"},
                             {"name": "default", "template": "d"}]})",
       "", false, "d"},
      {"a list without default", R"({"chat_template": [{"name": "rag", "template": "r"}]})", "",
       true, ""},
      {"tokens", "{" + kTokens + "}",
       "{{ bos_token + eos_token }}{{ pad_token is defined }}{{ additional_special_tokens }}",
       false, "<s></s>False['<x>', '<y>']"},
      {"the context wins", "{" + kTokens + "}", "{{ eos_token }}{{ messages }}", false, "</s>[]"},
  };
  for (const Source& s : kSources) {
    const auto loaded = ChatTemplate::load(s.config, s.jinja);
    ASSERT_TRUE(loaded.ok()) << s.name << ": " << loaded.error().message;
    EXPECT_EQ(loaded.value().is_built_in(), s.built_in) << s.name;
    EXPECT_EQ(loaded.value().render(R"({"messages": []})").value(), s.want) << s.name;
  }
}

// Protects the embedded model: its own template, and the tokens of a rendered dialogue.
TEST(ChatTemplate, EmbeddedModelsDialogue) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  const auto loaded =
      ChatTemplate::load(read_source_file("assets/bitcpm-tiny/tokenizer_config.json"), "");
  ASSERT_TRUE(loaded.ok());
  EXPECT_FALSE(loaded.value().is_built_in());
  int dialogues = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string path =
        "tests/golden/prompts/" + std::string(i < 10 ? "0" : "") + std::to_string(i) + ".json";
    const json::object golden = json::parse(read_source_file(path)).as_object();
    if (!golden.contains("messages")) continue;
    ++dialogues;
    const json::object context = {{"messages", golden.at("messages")},
                                  {"add_generation_prompt", true}};
    const auto text = loaded.value().render(json::serialize(context));
    ASSERT_TRUE(text.ok()) << path;
    EXPECT_EQ(text.value(), std::string(golden.at("prompt").as_string())) << path;
    const auto want = json::value_to<std::vector<TokenId>>(golden.at("prompt_ids"));
    EXPECT_EQ(tokenizer.encode(text.value(), true).value(), want) << path;
  }
  EXPECT_GT(dialogues, 0);
}

}  // namespace
}  // namespace bitcpm
