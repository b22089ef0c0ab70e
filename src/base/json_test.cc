#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace bitcpm {
namespace {

std::string nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

// Protects: what a stranger may send as JSON is refused in one line, never accepted by halves.
TEST(Json, RefusesHostileDocuments) {
  struct Case {
    const char* name;
    std::string text;
    const char* reason;  // part of the message
  };
  const Case kCases[] = {
      {"empty", "", "invalid JSON"},
      {"white space only", "  \n", "invalid JSON"},
      {"unterminated object", "{\"a\":1", "invalid JSON"},
      {"unterminated string", "{\"a", "invalid JSON"},
      {"trailing comma", "[1,]", "invalid JSON"},
      {"text after the value", "{} {}", "after its value"},
      {"NUL after the value", std::string("{}\0", 3), "after its value"},
      {"duplicate key", R"({"a":1,"b":2,"a":3})", "'a' twice"},
      {"duplicate key, escaped", R"({"a":1,"\u0061":2})", "'a' twice"},
      {"duplicate in an inner object", R"({"x":{"k":1,"k":1}})", "'k' twice"},
      {"duplicate key, not printable", "{\"a\\n\":1,\"a\\n\":2}", "'a\\x0a' twice"},
      {"invalid UTF-8", "\"\xff\"", "invalid JSON"},
      {"NaN", "NaN", "invalid JSON"},
      {"comment", "/* hi */ 1", "invalid JSON"},
      {"too deep", nested(65), "invalid JSON"},
      {"lone surrogate", R"("\ud800")", "invalid JSON"},
  };
  for (const Case& c : kCases) {
    const auto parsed = parse_json(c.text);
    ASSERT_FALSE(parsed.ok()) << c.name;
    EXPECT_NE(parsed.error().message.find(c.reason), std::string::npos)
        << c.name << ": " << parsed.error().message;
    EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos) << c.name;
  }
  EXPECT_FALSE(parse_json("[1,2,3]", {.max_bytes = 6}).ok());
}

// Protects: good documents come through whole; equal keys of different objects are no duplicates.
TEST(Json, AcceptsPlainDocuments) {
  EXPECT_EQ(parse_json(R"([{"k":1},{"k":2}])")->as_array().size(), 2u);
  EXPECT_EQ(parse_json(R"({"中文":"\u4f60好"})")->at("中文").as_string(), "你好");
  EXPECT_EQ(parse_json(" 18446744073709551615 ")->as_uint64(), 18446744073709551615u);
  EXPECT_TRUE(parse_json(nested(64)).ok());
  const std::string long_key(100000, 'k');
  EXPECT_TRUE(parse_json("{\"" + long_key + "\":null}")->as_object().contains(long_key));
}

}  // namespace
}  // namespace bitcpm
