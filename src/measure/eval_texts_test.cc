#include "measure/eval_texts.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/reader_testing.h"
#include "text/tokenizer.h"

namespace bitcpm {
namespace {

Tokenizer tiny_tokenizer() {
  return Tokenizer::load(read_source_file("assets/bitcpm-tiny/tokenizer.json"),
                         read_source_file("assets/bitcpm-tiny/tokenizer_config.json"))
      .value();
}

// Protects: the length that the reference's rule compares is Python's len(text.strip()).
TEST(StrippedCharacters, IsPythons) {
  struct Case {
    std::string text;
    std::size_t length;
  };
  const Case kCases[] = {{"", 0},
                         {" \t\n", 0},
                         {" = a b = \n", 7},
                         {"你好", 2},
                         {"\xe3\x80\x80你\xc2\xa0", 1},  // ideographic and no-break space
                         {"\xf0\x9f\x98\x80 x", 3},
                         {"cut\xe4\xbd", 5}};  // what is not UTF-8 counts byte by byte
  for (const Case& c : kCases) EXPECT_EQ(stripped_characters(c.text), c.length) << c.text;
}

// Protects: what the two kinds of files hold, and that what is no text is refused by line.
TEST(EvalTexts, OfBothKindsOfFiles) {
  const EvalTexts lines = parse_eval_texts("wiki.raw", " = A = \n\nb").value();
  EXPECT_EQ(lines.records, (std::vector<std::string>{" = A = \n", "\n", "b"}));
  EXPECT_EQ(lines.whole, " = A = \n\nb");
  const EvalTexts json =
      parse_eval_texts("x.jsonl", "{\"text\":\"a\\n\"}\n\n{\"text\":\"\",\"id\":1}\n").value();
  EXPECT_EQ(json.records, (std::vector<std::string>{"a\n", ""}));
  EXPECT_EQ(json.whole, "a\n\n\n");

  struct Case {
    const char* name;
    const char* content;
    const char* reason;
  };
  const Case kCases[] = {{"x.txt", "", "holds no text"},
                         {"x.txt", " \n\n", "holds no text"},
                         {"x.jsonl", "{\"text\":\"\"}", "holds no text"},
                         {"x.jsonl", "{\"text\":\"a\"}\n{\"txt\":1}", "line 2: expected an object"},
                         {"x.jsonl", "[]", "line 1: expected an object"},
                         {"x.jsonl", "{\"text\":3}", "line 1: expected an object"},
                         {"x.jsonl", "plain", "line 1: "}};
  for (const Case& c : kCases) {
    expect_refused(parse_eval_texts(c.name, c.content), c.reason, c.content);
  }
}

// Protects: which records count, how they are cut, and what is left out.
TEST(RecordWindows, FollowTheRule) {
  const Tokenizer tokenizer = tiny_tokenizer();
  EvalTexts texts;
  texts.records = {"short",
                   std::string(60, ' ') + "short",
                   std::string(51, 'a'),
                   std::string(50, 'b'),
                   std::string(400, 'c'),
                   std::string(60, 'd')};
  const auto windows =
      record_windows(tokenizer, texts, {.texts = 2, .min_characters = 50, .max_length = 20})
          .value();
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].ids.front(), tokenizer.bos_id());
  EXPECT_EQ(windows[1].ids.size(), 20u);
  EXPECT_EQ(windows[1].predictions(), 19u);
  EXPECT_EQ(windows[1].rows(), 20u);
  expect_refused(record_windows(tokenizer, texts, {.min_characters = 1000}),
                 "none of 6 texts is longer than 1000 characters", "all too short");
}

// Protects: every token but the first is scored exactly once, with context, whatever the stride.
TEST(StridedWindows, ScoreEveryTokenOnce) {
  const Tokenizer tokenizer = tiny_tokenizer();
  EvalTexts texts;
  for (int i = 0; i < 100; ++i) texts.whole += "The river rises in the hills. ";
  const std::vector<TokenId> ids = tokenizer.encode(texts.whole, true).value();
  for (const std::size_t stride : {1u, 7u, 16u, 31u}) {
    const auto windows = strided_windows(tokenizer, texts, 32, stride).value();
    std::vector<TokenId> scored = {ids.front()};
    for (const EvalWindow& window : windows) {
      ASSERT_GE(window.first_scored, 1u);
      ASSERT_LE(window.ids.size(), 32u);
      const auto first = window.ids.begin() + static_cast<std::ptrdiff_t>(window.first_scored);
      scored.insert(scored.end(), first, window.ids.end());
    }
    EXPECT_EQ(scored, ids) << stride;
  }
  std::size_t predictions = 0;
  const auto apart = strided_windows(tokenizer, texts, 32, 32).value();
  for (const EvalWindow& window : apart) {
    predictions += window.predictions();
  }
  EXPECT_EQ(predictions, ids.size() - (ids.size() + 31) / 32);
}

}  // namespace
}  // namespace bitcpm
