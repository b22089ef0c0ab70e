#include "console.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace bitcpm {
namespace {

// Protects sizes in logs and messages from wrong units at the borders.
TEST(Console, HumanBytes) {
  struct Case {
    std::size_t bytes;
    const char* text;
  };
  constexpr Case kCases[] = {{0, "0 B"},
                             {999, "999 B"},
                             {1000, "1.0 kB"},
                             {999'949, "999.9 kB"},
                             {999'950, "1.0 MB"},
                             {15'675'752, "15.7 MB"},
                             {std::size_t{4} << 30, "4.3 GB"}};
  for (const Case& c : kCases) EXPECT_EQ(human_bytes(c.bytes), c.text);
}

// Protects large counts from misplaced commas.
TEST(Console, WithCommas) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(-1000), "-1,000");
  EXPECT_EQ(with_commas(433'873'920), "433,873,920");
}

// Protects --json: the text parses back to the same value.
TEST(Console, PrettyJsonRoundTrips) {
  const json::value value{{"text", "say \"你好\"\n"},
                          {"numbers", {0.5, -3, std::int64_t{1} << 62}},
                          {"empty", json::object{}},
                          {"list", json::array{json::object{{"a", nullptr}}, json::array{}}},
                          {"yes", true}};
  const std::string text = pretty_json(value);
  const auto parsed = parse_json(text);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message << "\n" << text;
  EXPECT_EQ(*parsed, value) << text;
}

// Protects numbers in reports: spelled as people write them, and never as JSON does not know them.
TEST(Console, PrettyJsonNumbers) {
  EXPECT_EQ(pretty_json({0.1, 1e-6, 10000.0, 9.977997200264581e-1}),
            "[0.1, 1e-06, 10000, 0.9977997200264581]");
  EXPECT_EQ(pretty_json(-std::numeric_limits<double>::infinity()), "null");
  EXPECT_EQ(pretty_json(std::numeric_limits<double>::quiet_NaN()), "null");
}

// Protects the terminal from control sequences inside tokens; text in any language stays.
TEST(Console, VisibleEscapesControlCharacters) {
  EXPECT_EQ(visible("a\x1b[2J\n你"), "a\\x1b[2J\\x0a你");
}

// Protects the byte that is named: of the text itself, at the start of the first bad character,
// even where that agrees with the replacement character's bytes.
TEST(Console, CheckUtf8NamesTheByte) {
  struct Case {
    std::string_view text;
    const char* complaint;
  };
  constexpr Case kCases[] = {{"", ""},
                             {"plain 你好 🙂 \xef\xbf\xbd", ""},
                             {"abc\xff"
                              "def",
                              "it is not UTF-8 at byte 3"},
                             {"你\xe4\xbd", "it is not UTF-8 at byte 3"},
                             {"\xef\xbf", "it is not UTF-8 at byte 0"},
                             {"a\xc0\x80", "it is not UTF-8 at byte 1"}};
  for (const Case& c : kCases) {
    const Status checked = check_utf8(c.text, "it");
    EXPECT_EQ(checked.ok() ? "" : checked.error().message, c.complaint) << visible(c.text);
  }
}

// Protects table columns and the one-line progress bar: wide characters count two columns, and no
// character is cut in half.
TEST(Console, PaddedCountsColumns) {
  EXPECT_EQ(padded("abc", 5), "abc  ");
  EXPECT_EQ(padded("abcdef", 5), "abcde");
  EXPECT_EQ(padded("你好吗", 5), "你好 ");
  EXPECT_EQ(padded("é", 3), "é  ");
}

}  // namespace
}  // namespace bitcpm
