#include <algorithm>

#include "text/text_test_data.h"

namespace bitcpm {
namespace {

std::string with_model(const std::string& model, const std::string& more = "") {
  return R"({"version": "1.0", "model": )" + model + more + "}";
}

constexpr const char* kModel = R"({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []})";

std::string added(int id, const std::string& content) {
  return R"({"id": )" + std::to_string(id) + R"(, "content": ")" + content +
         R"(", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
         "special": true})";
}

std::string nested(const std::string& open, const std::string& close, int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

struct HostileFile {
  const char* name;
  std::string json;
};

std::vector<HostileFile> refused_files() {
  const std::string deep = nested(R"({"type": "Sequence", "normalizers": [)", "]}", 10000);
  return {
      {"empty", ""},
      {"not JSON", "tokenizer"},
      {"not UTF-8", "{\"version\": \"\xff\"}"},
      {"truncated", with_model(kModel).substr(0, 40)},
      {"a list", "[]"},
      {"no model", R"({"version": "1.0"})"},
      {"another version", R"({"version": "2.0", "model": {}})"},
      {"unknown model", with_model(R"({"type": "Magic", "vocab": {}})")},
      {"vocab is a number", with_model(R"({"type": "BPE", "vocab": 7, "merges": []})")},
      {"vocab is empty", with_model(R"({"type": "BPE", "vocab": {}, "merges": []})")},
      {"an id is text", with_model(R"({"type": "BPE", "vocab": {"a": "0"}, "merges": []})")},
      {"an id is negative", with_model(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})")},
      {"an id past u32",
       with_model(R"({"type": "BPE", "vocab": {"a": 4294967296}, "merges": []})")},
      {"a gigantic id", with_model(R"({"type": "BPE", "vocab": {"a": 4294967295}, "merges": []})")},
      {"merge of unknown tokens",
       with_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a x"]})")},
      {"merge into an unknown token",
       with_model(R"({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]})")},
      {"merge of three", with_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a a a"]})")},
      {"prefix longer than the token",
       with_model(R"({"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": ["a a"],
                      "continuing_subword_prefix": "#########"})")},
      {"dropout",
       with_model(R"({"type": "BPE", "dropout": 0.5, "vocab": {"a": 0}, "merges": []})")},
      {"added token with another's id",
       with_model(kModel, ", \"added_tokens\": [" + added(0, "<x>") + "]")},
      {"added token listed twice with two ids",
       with_model(kModel, ", \"added_tokens\": [" + added(2, "<x>") + "," + added(3, "<x>") + "]")},
      {"added token with a gigantic id",
       with_model(kModel, ", \"added_tokens\": [" + added(2000000000, "<x>") + "]")},
      {"added token without content", with_model(kModel, R"(, "added_tokens": [{"id": 2}])")},
      {"normalizers nested 10000 deep", with_model(kModel, ", \"normalizer\": " + deep)},
      {"invalid regex", with_model(kModel, R"(, "normalizer": {"type": "Replace",
          "pattern": {"Regex": "(("}, "content": ""})")},
      {"regex nested 100000 deep", with_model(kModel, R"(, "normalizer": {"type": "Replace",
          "pattern": {"Regex": ")" + nested("(", ")", 100000) +
                                                          R"("}, "content": ""})")},
      {"regex of a gigantic size", with_model(kModel, R"(, "normalizer": {"type": "Replace",
          "pattern": {"Regex": "((a{1000}){1000}){1000}"}, "content": ""})")},
      {"normalizers that double thirty times",
       with_model(kModel, R"(, "normalizer": {"type": "Sequence", "normalizers": [)" +
                              nested(R"({"type": "Replace", "pattern": {"String": "a"},
                                  "content": "aa"},)",
                                     "", 30) +
                              R"({"type": "Lowercase"}]})")},
      {"a gigantic prefix",
       with_model(kModel, R"(, "normalizer": {"type": "Prepend", "prepend": ")" +
                              std::string(100000, 'a') + R"("})")},
      {"a decoder that lengthens", with_model(kModel, R"(, "decoder": {"type": "Replace",
          "pattern": {"Regex": ""}, "content": ")" + std::string(1000, 'b') +
                                                          R"("})")},
      {"unknown decoder", with_model(kModel, R"(, "decoder": {"type": "Magic"})")},
  };
}

// Protects the process from a checkpoint's tokenizer.json: one line of reason, nothing worse.
TEST(HostileTokenizer, IsRefused) {
  for (const HostileFile& file : refused_files()) {
    const auto tokenizer = Tokenizer::load(file.json, "");
    ASSERT_FALSE(tokenizer.ok()) << file.name;
    const Error& error = tokenizer.error();
    EXPECT_EQ(error.code, Errc::kCorrupt) << file.name;
    EXPECT_TRUE(error.message.starts_with("tokenizer.json: ")) << file.name;
    EXPECT_EQ(error.message.find('\n'), std::string::npos) << file.name;
    EXPECT_LT(error.message.size(), 2000u) << file.name;
  }
}

// Protects memory: the size is checked before anything is parsed.
TEST(HostileTokenizer, SizeIsBounded) {
  const std::string huge((std::size_t{64} << 20) + 1, ' ');
  const auto tokenizer = Tokenizer::load(huge, "");
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.error().message, "tokenizer.json: 67108865 bytes, more than 67108864");
}

// Protects the process when a file loads but its parts misbehave on use.
TEST(HostileTokenizer, ThatLoadsStaysHarmless) {
  const HostileFile kFiles[] = {
      {"replaces by something longer", with_model(kModel, R"(, "normalizer": {"type": "Replace",
          "pattern": {"String": "a"}, "content": "bbbb"})")},
      {"padding to 4 billion tokens", with_model(kModel, R"(, "padding": {"strategy":
          {"Fixed": 4000000000}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
          "pad_type_id": 0, "pad_token": "a"})")},
      {"truncation to nothing", with_model(kModel, R"(, "truncation": {"direction": "Right",
          "max_length": 1, "strategy": "LongestFirst", "stride": 0})")},
      {"replaces the empty string", with_model(kModel, R"(, "normalizer": {"type": "Replace",
          "pattern": {"String": ""}, "content": "b"})")},
      {"regex that backtracks", with_model(kModel, R"(, "normalizer": {"type": "Replace",
          "pattern": {"Regex": "(?=(a|a)*b)(a|a)*b"}, "content": "b"})")},
      {"strips more than there is", with_model(kModel, R"(, "decoder": {"type": "Strip",
          "content": "a", "start": 0, "stop": 4000000000})")},
  };
  for (const HostileFile& file : kFiles) {
    const auto loaded = Tokenizer::load(file.json, "");
    if (!loaded.ok()) continue;  // a refusal is harmless too
    const Tokenizer& tokenizer = loaded.value();
    const auto ids = tokenizer.encode(std::string(64, 'a') + "c", true);
    EXPECT_LT(ids.ok() ? ids.value().size() : 0, 1000u) << file.name;
    const TokenId as[] = {0, 0, 0};
    const auto text = tokenizer.decode(as, false);
    EXPECT_LT(text.ok() ? text.value().size() : 0, 100u) << file.name;
  }
}

}  // namespace
}  // namespace bitcpm
