#include "option_values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace bitcpm {
namespace {

// Protects vLLM's meaning of counts: lower-case suffixes are powers of 1000, upper-case of 1024.
TEST(ParseCount, ReadsWhatVllmReads) {
  struct Case {
    const char* text;
    std::int64_t value;
  };
  constexpr Case kCases[] = {
      {"0", 0},
      {"2048", 2048},
      {"1k", 1000},
      {"1K", 1024},
      {"2m", 2'000'000},
      {"2M", 2 << 20},
      {"25.6k", 25'600},
      {"1.5g", 1'500'000'000},
      {"4G", std::int64_t{4} << 30},
      {"1t", 1'000'000'000'000},
      {"-1", -1},
  };
  for (const Case& c : kCases) {
    const auto count = parse_count(c.text);
    ASSERT_TRUE(count.ok()) << c.text << ": " << count.error().message;
    EXPECT_EQ(*count, c.value) << c.text;
  }
}

// Protects against typing mistakes becoming a size: each is refused, and the message quotes it.
TEST(ParseCount, RefusesTheRest) {
  constexpr const char* kCases[] = {"",
                                    "k",
                                    "2 k",
                                    "2kk",
                                    "0x10",
                                    "1e3",
                                    "1.5",
                                    "12b",
                                    "2kB",
                                    "1.5K",
                                    "1..5k",
                                    "nan",
                                    "inf",
                                    "9223372036854775808",
                                    "9223372036854775807k",
                                    "99999999999999999999.5t",
                                    "-1.5k"};
  for (const char* text : kCases) {
    const auto count = parse_count(text);
    ASSERT_FALSE(count.ok()) << text << " became " << *count;
    EXPECT_NE(count.error().message.find("'" + std::string(text)), std::string::npos);
  }
}

// Parses one command line of the flags under test; empty if it is accepted.
std::string parse_error(CLI::App& app, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return {};
}

// Protects the bounds of counts: the value arrives, and one outside is refused with the bound.
TEST(AddCount, StoresAndBounds) {
  struct Case {
    const char* text;
    const char* complaint;  // null: accepted
  };
  constexpr Case kCases[] = {{"1k", nullptr},       {"2", nullptr},
                             {"1", "less than 2"},  {"1001", "more than 1000"},
                             {"-5", "less than 2"}, {"x", "not a count"}};
  for (const Case& c : kCases) {
    CLI::App app;
    OptionalCount target;
    add_count(app, "--size", target, 2, 1000, "");
    const std::string error = parse_error(app, {"--size", c.text});
    if (c.complaint == nullptr) {
      EXPECT_EQ(error, "") << c.text;
      EXPECT_EQ(target, *parse_count(c.text)) << c.text;
    } else {
      EXPECT_NE(error.find(c.complaint), std::string::npos) << c.text << ": " << error;
      EXPECT_NE(error.find("--size"), std::string::npos) << error;
      EXPECT_FALSE(target.has_value()) << c.text;
    }
  }
}

// Protects sampling from numbers that are none: bounds hold, NaN and trailing text are refused.
TEST(AddReal, StoresAndBounds) {
  for (const char* text : {"0", "0.5", "2", "1e-3"}) {
    CLI::App app;
    std::optional<float> target;
    add_real(app, "--x", target, 0, 2, "");
    EXPECT_EQ(parse_error(app, {"--x", text}), "");
    EXPECT_EQ(target, std::stof(text));
  }
  for (const char* text : {"-0.1", "2.1", "nan", "inf", "1x", ""}) {
    CLI::App app;
    std::optional<float> target;
    add_real(app, "--x", target, 0, 2, "");
    EXPECT_NE(parse_error(app, {"--x", text}), "") << text;
    EXPECT_FALSE(target.has_value()) << text;
  }
}

// Protects command lines put together by scripts: of a repeated flag the last value holds, and an
// earlier one that is wrong is still an error.
TEST(OptionValues, TheLastValueHolds) {
  struct Values {
    CLI::App app;
    OptionalCount count;
    std::optional<float> real;
    std::string word;
    Values() {
      app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
      add_count(app, "--count", count, 1, 10, "");
      add_real(app, "--real", real, 0, 1, "");
      add_word(app, "--word", word, {"a", "b"}, {}, "");
    }
  };
  Values values;
  ASSERT_EQ(parse_error(values.app, {"--count", "5", "--real", "1", "--word", "a", "--count", "3",
                                     "--real=0.5", "--word", "b"}),
            "");
  EXPECT_EQ(values.count, 3);
  EXPECT_EQ(values.real, 0.5f);
  EXPECT_EQ(values.word, "b");
  Values wrong;
  EXPECT_NE(parse_error(wrong.app, {"--count", "11", "--count", "3"}).find("more than 10"),
            std::string::npos);
}

// Protects the promise that a value we cannot honour is refused with its reason.
TEST(AddWord, ExplainsWhatItRefuses) {
  CLI::App app;
  std::string target = "auto";
  add_word(app, "--dtype", target, {"auto", "float32"}, {{"half", "it would round"}}, "");
  EXPECT_EQ(parse_error(app, {"--dtype", "float32"}), "");
  EXPECT_EQ(target, "float32");
  EXPECT_NE(parse_error(app, {"--dtype", "half"}).find("it would round"), std::string::npos);
  EXPECT_NE(parse_error(app, {"--dtype", "int3"}).find("auto|float32"), std::string::npos);
}

// Protects lists of counts: every value is read and held to its range, and a message quotes it.
TEST(ParseCounts, ReadsListsAndRefusesTheRest) {
  EXPECT_EQ(parse_counts("1", 1, 9).value(), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(parse_counts("1,10,2k", 1, 4096).value(), (std::vector<std::int64_t>{1, 10, 2000}));
  for (const char* text : {"", ",", "1,", ",1", "1,,2", "1;2", "1, 2", "one"}) {
    EXPECT_FALSE(parse_counts(text, 1, 9).ok()) << text;
  }
  EXPECT_EQ(parse_counts("1,0", 1, 9).error().message, "'0' is less than 1");
  EXPECT_EQ(parse_counts("1,10", 1, 9).error().message, "'10' is more than 9");
  std::string many = "1";
  for (int i = 0; i < 64; ++i) many += ",1";
  EXPECT_FALSE(parse_counts(many, 1, 9).ok());
}

}  // namespace
}  // namespace bitcpm
