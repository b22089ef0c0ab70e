#include "text/tokenizer.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <sstream>

#include "base/json.h"
#include "text/text_test_data.h"

namespace bitcpm {
namespace {

// Four tokens, of which `post_processor` may put some around a text.
std::string small_tokenizer(const std::string& post_processor) {
  return R"({"version": "1.0", "added_tokens": [
    {"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true},
    {"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true}],
    "model": {"type": "BPE", "vocab": {"<s>": 0, "</s>": 1, "a": 2, "b": 3}, "merges": []},
    "post_processor": )" +
         post_processor + "}";
}

constexpr const char* kBosEos = R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                       "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}})";

// Protects that texts become the ids that the model was trained with, and ids the same texts.
TEST(Tokenizer, EqualsTheReferenceBothWays) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  std::istringstream lines(read_source_file("tests/golden/tokenizer.jsonl"));
  int cases = 0;
  for (std::string line; std::getline(lines, line); ++cases) {
    const json::object golden = json::parse(line).as_object();
    const std::string text(golden.at("text").as_string());
    const auto ids = json::value_to<std::vector<TokenId>>(golden.at("ids"));
    const std::vector<TokenId> without_bos(ids.begin() + 1, ids.end());
    EXPECT_EQ(tokenizer.encode(text, false).value(), without_bos) << text;
    const bool spells_bos = text.starts_with("<s>");
    EXPECT_EQ(tokenizer.encode(text, true).value(), spells_bos ? without_bos : ids) << text;
    // A special token in the text does not come back: it is skipped, with a space before what
    // follows it.
    const auto is_special = [&](TokenId id) { return tokenizer.is_special(id); };
    if (std::none_of(without_bos.begin(), without_bos.end(), is_special)) {
      EXPECT_EQ(tokenizer.decode(ids, true).value(), text);
    }
  }
  EXPECT_EQ(cases, 244);
}

// Protects that BOS is there exactly once, whoever asks for it, and never when nobody does.
TEST(Tokenizer, AddsBosExactlyOnce) {
  struct Case {
    const char* name;
    const char* post_processor;
    const char* config;
    const char* text;
    std::vector<TokenId> with, without;
  };
  const Case kCases[] = {
      {"named in the config", "null", R"({"bos_token": "<s>"})", "ab", {0, 2, 3}, {2, 3}},
      {"named as an object", "null", R"({"bos_token": {"content": "<s>"}})", "a", {0, 2}, {2}},
      {"spelled in the text", "null", R"({"bos_token": "<s>"})", "<s>a", {0, 2}, {0, 2}},
      {"spelled twice", "null", R"({"bos_token": "<s>"})", "<s><s>a", {0, 2}, {0, 0, 2}},
      {"spelled later", "null", R"({"bos_token": "<s>"})", "a<s>", {0, 2, 0}, {2, 0}},
      {"empty text", "null", R"({"bos_token": "<s>"})", "", {0}, {}},
      {"from the post-processor", kBosEos, "", "a", {0, 2}, {2}},
      {"from both", kBosEos, R"({"bos_token": "<s>"})", "<s>a", {0, 2}, {0, 2}},
      {"config says no", kBosEos, R"({"add_bos_token": false})", "a", {2}, {2}},
      {"a null add_bos_token", kBosEos, R"({"add_bos_token": null})", "a", {0, 2}, {2}},
      {"nobody has one", "null", R"({"bos_token": null})", "a", {2}, {2}},
      {"another class", "null", R"({"tokenizer_class": "X", "bos_token": "b"})", "a", {3, 2}, {2}},
  };
  for (const Case& c : kCases) {
    const auto tokenizer = Tokenizer::load(small_tokenizer(c.post_processor), c.config);
    ASSERT_TRUE(tokenizer.ok()) << c.name << ": " << tokenizer.error().message;
    EXPECT_EQ(tokenizer.value().encode(c.text, true).value(), c.with) << c.name;
    EXPECT_EQ(tokenizer.value().encode(c.text, false).value(), c.without) << c.name;
  }
}

// Protects what the engine and the HTTP side read off the vocabulary.
TEST(Tokenizer, DescribesItsVocabulary) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 6008);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.piece(1), "<s>");
  EXPECT_EQ(tokenizer.piece(13), "<0x0A>");
  EXPECT_EQ(tokenizer.piece(6000), "<|im_end|>");
  EXPECT_EQ(tokenizer.piece(6008), "");
  EXPECT_EQ(tokenizer.piece(-1), "");
  EXPECT_TRUE(tokenizer.is_special(2));
  EXPECT_TRUE(tokenizer.is_special(6007));
  EXPECT_FALSE(tokenizer.is_special(13));
  EXPECT_FALSE(tokenizer.is_special(-1));
}

// Protects the treatment of special tokens and of ill-formed bytes in decoded text.
TEST(Tokenizer, Decodes) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  const TokenId e4 = 3 + 0xe4, b8 = 3 + 0xb8, ad = 3 + 0xad, ff = 3 + 0xff, a = 3 + 'a';
  struct Case {
    const char* name;
    std::vector<TokenId> ids;
    bool skip;
    std::string text;
  };
  const Case kCases[] = {
      {"nothing", {}, false, ""},
      {"special tokens kept", {1, 6001, a}, false, "<s><|im_start|>a"},
      {"special tokens skipped", {1, 6001, a}, true, "a"},
      {"bytes of a character", {e4, b8, ad}, true, "中"},
      {"a bad byte costs only itself", {e4, b8, ad, ff, a}, true, "中\ufffda"},
      {"each byte of an unfinished character", {a, e4, b8}, true, "a\ufffd\ufffd"},
      {"overlong form", {TokenId{3 + 0xc0}, TokenId{3 + 0x80}}, true, "\ufffd\ufffd"},
      {"surrogate", {TokenId{3 + 0xed}, TokenId{3 + 0xa0}, b8}, true, "\ufffd\ufffd\ufffd"},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(tokenizer.decode(c.ids, c.skip).value(), c.text) << c.name;
  }
}

// Protects the short way to decode SentencePiece's vocabularies: it equals the library's decoders,
// one after the other, on any ids, half characters and bytes that are none included. (A second Fuse
// changes no text, and takes the long way.)
TEST(Tokenizer, DecodesTheShortWayAsTheLongOne) {
  json::value document = json::parse(read_source_file("assets/bitcpm-tiny/tokenizer.json"));
  json::array& decoders = document.at("decoder").at("decoders").as_array();
  ASSERT_EQ(decoders.size(), 4u) << "the test's model has another decoder";
  decoders.insert(decoders.begin() + 3, json::value{{"type", "Fuse"}});
  const Tokenizer longer = Tokenizer::load(json::serialize(document), "").value();
  const Tokenizer shorter = load_tiny_tokenizer();
  std::mt19937 rng(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> ids(rng() % 12);
    for (TokenId& id : ids) {
      const unsigned kind = rng() % 3;  // anything, bytes, or bytes of characters of three
      id = static_cast<TokenId>(kind == 0   ? rng() % static_cast<unsigned>(shorter.vocab_size())
                                : kind == 1 ? 3 + rng() % 256
                                            : 3 + 0xe4 + rng() % 2 * (0xb8 - 0xe4));
    }
    for (const bool skip : {false, true}) {
      ASSERT_EQ(shorter.decode(ids, skip).value(), longer.decode(ids, skip).value()) << round;
    }
  }
}

// Protects the process from a request's ill-formed or oversized input.
TEST(Tokenizer, RefusesBadInput) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  const auto message = [](const auto& result) { return result.ok() ? "" : result.error().message; };
  EXPECT_EQ(message(tokenizer.encode("ab\xff", true)), "cannot encode: not UTF-8 at byte 2");
  EXPECT_EQ(message(tokenizer.encode(std::string((16 << 20) + 1, 'a'), true)),
            "cannot encode: text of 16777217 bytes, more than 16777216");
  const TokenId past_end[] = {1, 6008};
  const TokenId negative[] = {-1};
  EXPECT_EQ(message(tokenizer.decode(past_end, true)), "token id 6008 is not in [0, 6008)");
  EXPECT_EQ(message(tokenizer.decode(negative, true)), "token id -1 is not in [0, 6008)");
}

// Protects from texts that make a tokenizer slow: quadratic work would take hours, not seconds.
TEST(Tokenizer, LongTextsTakeLinearTime) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  constexpr std::size_t kBytes = 1 << 20;
  for (const std::string unit : {"a", " ", "\n", "😀", "中", "ab ", "<s>", "<|im_"}) {
    std::string text;
    while (text.size() < kBytes) text += unit;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(tokenizer.encode(text, true).ok()) << unit;
    const auto elapsed = std::chrono::steady_clock::now() - start;
    EXPECT_LT(elapsed, std::chrono::seconds(20)) << '"' << unit << '"';
  }
}

}  // namespace
}  // namespace bitcpm
