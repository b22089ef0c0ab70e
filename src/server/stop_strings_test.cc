#include "server/stop_strings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace bitcpm {
namespace {

struct Outcome {
  std::string text;
  std::optional<std::string> match;
  bool operator==(const Outcome&) const = default;
};

// The definition, spelled out: the match that ends first, then the one named first.
Outcome expected(const std::string& text, const std::vector<std::string>& stops, bool include) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    for (const std::string& stop : stops) {
      if (!stop.empty() && std::string_view(text).substr(0, end).ends_with(stop)) {
        return {text.substr(0, include ? end : end - stop.size()), stop};
      }
    }
  }
  return {text, std::nullopt};
}

Outcome in_pieces(const std::vector<std::string>& pieces, const std::vector<std::string>& stops,
                  bool include) {
  StopStrings matcher(stops, include);
  std::string text;
  for (const std::string& piece : pieces) text += matcher.push(piece);
  text += matcher.finish();
  return {text, matcher.match()};
}

// Protects: the known hard cases, one byte at a time and whole.
TEST(StopStrings, FindsTheFirstMatch) {
  struct Case {
    const char* name;
    std::string text;
    std::vector<std::string> stops;
    std::string want;
  };
  const Case kCases[] = {
      {"none", "hello", {}, "hello"},
      {"empty stop is ignored", "hello", {""}, "hello"},
      {"plain", "hello world", {"wor"}, "hello "},
      {"false start, then the real one", "aaab", {"aab"}, "a"},
      {"periodic pattern", "ababac", {"abac"}, "ab"},
      {"one stop inside another", "xabcdy", {"abcd", "bc"}, "xa"},
      {"both end together: the first named", "xabc", {"bc", "abc"}, "xa"},
      {"at the very beginning", "stop", {"stop"}, ""},
      {"held back to the end, never completed", "hello\n", {"\n\n"}, "hello\n"},
      {"more than one byte per character", "你好。再见", {"。再"}, "你好"},
      {"shared lead byte is no match", "你佡", {"佢"}, "你佡"},
  };
  for (const Case& c : kCases) {
    std::vector<std::string> bytes;
    for (const char byte : c.text) bytes.emplace_back(1, byte);
    EXPECT_EQ(in_pieces({c.text}, c.stops, false).text, c.want) << c.name;
    EXPECT_EQ(in_pieces(bytes, c.stops, false).text, c.want) << c.name;
  }
}

// Protects: the answer does not depend on how the model cut the text into tokens.
TEST(StopStrings, ChunkingNeverChangesTheResult) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto word = [&](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += static_cast<char>('a' + below(2));
    return text;
  };
  int matches = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::string text = word(below(24));
    std::vector<std::string> stops;
    for (std::size_t i = below(4); i > 0; --i) stops.push_back(word(1 + below(5)));
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = std::min(text.size() - at, below(6));
      pieces.push_back(text.substr(at, length));
      at += length;
    }
    const bool include = below(2) == 1;
    const Outcome want = expected(text, stops, include);
    matches += want.match.has_value();
    ASSERT_EQ(in_pieces(pieces, stops, include), want) << text;
  }
  EXPECT_GT(matches, 5000);
}

// Protects: text goes out as soon as it is certain, and nothing that a match would take back.
TEST(StopStrings, HoldsBackExactlyThePossibleBeginning) {
  StopStrings matcher({"END", "\n\n"}, false);
  EXPECT_EQ(matcher.push("a\n"), "a");
  EXPECT_EQ(matcher.push("b"), "\nb");
  EXPECT_EQ(matcher.push("EN"), "");
  EXPECT_EQ(matcher.push("E"), "EN");
  EXPECT_EQ(matcher.push("ND!"), "");
  EXPECT_EQ(matcher.match(), "END");
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

}  // namespace
}  // namespace bitcpm
