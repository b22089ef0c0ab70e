#include "text/detokenizer.h"

#include <chrono>
#include <cstdio>
#include <random>

#include "base/json.h"
#include "text/text_test_data.h"

namespace bitcpm {
namespace {

constexpr std::string_view kReplacement = "\ufffd";

// A byte-level BPE, as Llama 3 and Qwen have: token i < 256 is the byte i, and some tokens join
// bytes across the borders of characters.
Tokenizer load_byte_level_tokenizer() {
  // GPT-2 writes bytes that do not print as characters from U+0100 on.
  std::vector<std::string> names(256);
  int shifted = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool prints = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    const int code = prints ? byte : 0x100 + shifted++;
    names[byte] = code < 0x80 ? std::string(1, static_cast<char>(code))
                              : std::string{static_cast<char>(0xc0 | (code >> 6)),
                                            static_cast<char>(0x80 | (code & 0x3f))};
  }
  json::object vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[names[byte]] = byte;
  int id = 256;
  for (const std::string bytes : {"\xe4\xb8", "\xb8\xad", "\xad\xe4", "a\xf0", "\x98\x80z",
                                  "\x9f"
                                  "\x98"}) {
    std::string name;
    for (const char byte : bytes) name += names[static_cast<unsigned char>(byte)];
    vocab[name] = id++;
  }
  const json::object model = {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}};
  const json::object decoder = {{"type", "ByteLevel"},
                                {"add_prefix_space", false},
                                {"trim_offsets", false},
                                {"use_regex", false}};
  const json::object root = {{"version", "1.0"}, {"model", model}, {"decoder", decoder}};
  return Tokenizer::load(json::serialize(root), "").value();
}

bool is_utf8(const std::string& text) {
  // The tokenizer's own validation is Rust's.
  static const Tokenizer validator = load_byte_level_tokenizer();
  return validator.encode(text, false).ok();
}

// What the continuation adds: the whole text without the prompt's.
std::string added_text(const Tokenizer& tokenizer, std::span<const TokenId> all,
                       std::size_t prompt_size, bool skip) {
  const std::string prompt = tokenizer.decode(all.first(prompt_size), skip).value();
  const std::string whole = tokenizer.decode(all, skip).value();
  EXPECT_TRUE(whole.starts_with(prompt));
  return whole.substr(prompt.size());
}

std::string stream(const Tokenizer& tokenizer, std::span<const TokenId> all,
                   std::size_t prompt_size, bool skip) {
  Detokenizer detokenizer(tokenizer, all.first(prompt_size), skip);
  std::string text;
  for (const TokenId token : all.subspan(prompt_size)) {
    const std::string piece = detokenizer.push(token);
    EXPECT_TRUE(is_utf8(piece));
    text += piece;
  }
  return text + detokenizer.finish();
}

// Protects that a streamed answer is the answer, on what the model really says.
TEST(Detokenizer, GivesTheGoldenContinuations) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  for (int i = 0; i < 30; ++i) {
    char path[64];
    std::snprintf(path, sizeof path, "tests/golden/prompts/%02d.json", i);
    const json::object golden = json::parse(read_source_file(path)).as_object();
    auto all = json::value_to<std::vector<TokenId>>(golden.at("prompt_ids"));
    const std::string prompt(golden.at("prompt").as_string());
    EXPECT_EQ(tokenizer.encode(prompt, true).value(), all) << path;
    const std::size_t prompt_size = all.size();
    const auto greedy = json::value_to<std::vector<TokenId>>(golden.at("greedy_ids"));
    all.insert(all.end(), greedy.begin(), greedy.end());
    const std::string want(golden.at("greedy_text").as_string());
    EXPECT_EQ(stream(tokenizer, all, prompt_size, true), want) << path;
  }
}

// Draws ids so that half of them are bytes, most of which belong together.
std::vector<TokenId> draw_ids(std::mt19937& random, TokenId vocab_size, TokenId first_byte,
                              std::size_t count) {
  static const std::string kText = "中文😀é\u0301ß a\ufffd";
  std::vector<TokenId> ids;
  while (ids.size() < count) {
    if (random() % 2 == 0) {
      ids.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(vocab_size)));
      continue;
    }
    const std::size_t begin = random() % kText.size();
    const std::size_t size = 1 + random() % 8;
    for (const char byte : kText.substr(begin, size)) {
      ids.push_back(first_byte + static_cast<unsigned char>(byte));
    }
  }
  ids.resize(count);
  return ids;
}

// Protects that pieces add up to the whole text, for any tokens, prompts and tokenizer kind.
TEST(Detokenizer, PiecesAddUpToTheWhole) {
  const Tokenizer byte_fallback = load_tiny_tokenizer();
  const Tokenizer byte_level = load_byte_level_tokenizer();
  std::mt19937 random(2);
  for (int round = 0; round < 4000; ++round) {
    const bool fallback = round % 2 == 0;
    const Tokenizer& tokenizer = fallback ? byte_fallback : byte_level;
    const bool skip = random() % 2 == 0;
    const std::size_t count = 1 + random() % (round % 100 == 0 ? 500 : 40);
    const auto ids = draw_ids(random, tokenizer.vocab_size(), fallback ? 3 : 0, count);
    const std::size_t prompt_size = random() % (count + 1);
    // The prompt's last character is whole, as a text's is.
    const std::string prompt = tokenizer.decode(std::span(ids).first(prompt_size), skip).value();
    if (prompt.ends_with(kReplacement)) continue;
    ASSERT_EQ(stream(tokenizer, ids, prompt_size, skip),
              added_text(tokenizer, ids, prompt_size, skip))
        << "round " << round;
  }
}

struct Step {
  TokenId token;
  std::string piece;
};

// Protects when text goes out: at once when certain, and not a byte earlier.
TEST(Detokenizer, HoldsBackOnlyUnfinishedCharacters) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  const TokenId e4 = 3 + 0xe4, b8 = 3 + 0xb8, ad = 3 + 0xad, ff = 3 + 0xff, a = 3 + 'a';
  struct Case {
    const char* name;
    std::vector<TokenId> prompt;
    bool skip;
    std::vector<Step> steps;
    std::string rest;
  };
  const Case kCases[] = {
      {"leading space dropped after BOS alone", {1}, true, {{4451, ""}, {a, "a"}}, ""},
      {"leading space kept after text", {1, a}, true, {{4451, " "}, {a, "a"}}, ""},
      {"leading space kept after special tokens",
       {1, a, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000},
       true,
       {{4451, " "}},
       ""},
      {"a character in three bytes", {1, a}, true, {{e4, ""}, {b8, ""}, {ad, "中"}}, ""},
      {"an invalid byte goes out at once", {1, a}, true, {{ff, "\ufffd"}, {a, "a"}}, ""},
      {"a broken character goes out with what breaks it",
       {1, a},
       true,
       {{e4, ""}, {b8, ""}, {e4, "\ufffd\ufffd"}, {a, "\ufffda"}},
       ""},
      {"the end finishes it", {1, a}, true, {{e4, ""}, {b8, ""}}, "\ufffd\ufffd"},
      {"the prompt's unfinished character", {1, a, e4, b8}, true, {{ad, "中"}}, ""},
      {"a special token kept", {1, a}, false, {{6000, "<|im_end|>"}}, ""},
      {"a special token skipped", {1, a}, true, {{6000, ""}, {e4, ""}, {6000, ""}}, "\ufffd"},
      {"ids without a token", {1, a}, true, {{6008, ""}, {-1, ""}, {a, "a"}}, ""},
  };
  for (const Case& c : kCases) {
    Detokenizer detokenizer(tokenizer, c.prompt, c.skip);
    for (const Step& step : c.steps) EXPECT_EQ(detokenizer.push(step.token), step.piece) << c.name;
    EXPECT_EQ(detokenizer.finish(), c.rest) << c.name;
    EXPECT_EQ(detokenizer.finish(), "") << c.name;
  }
}

// Protects that a token late in a long answer costs no more than an early one.
TEST(Detokenizer, LongAnswersTakeLinearTime) {
  const Tokenizer tokenizer = load_tiny_tokenizer();
  for (const TokenId token : {TokenId{4451}, TokenId{6000}, TokenId{3 + 0xff}, TokenId{3 + 0xe4}}) {
    Detokenizer detokenizer(tokenizer, {}, false);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 20000; ++i) detokenizer.push(token);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << token;
  }
}

}  // namespace
}  // namespace bitcpm
