#include "speculative_config.h"

#include <gtest/gtest.h>

namespace bitcpm {
namespace {

// Protects: vLLM's configurations of its "ngram" method mean here what they mean there.
TEST(SpeculativeConfig, ReadsVllmsKeys) {
  struct Case {
    const char* text;
    std::int32_t tokens, least, most, streams;
  };
  const Case kCases[] = {
      {R"({"method":"ngram","num_speculative_tokens":4})", 4, 5, 5, 4},
      {R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":3})", 4, 3, 3, 4},
      {R"({"method":"ngram","num_speculative_tokens":8,"prompt_lookup_max":7,"prompt_lookup_min":2,
           "disable_by_batch_size":1})",
       8, 2, 7, 1},
  };
  for (const Case& c : kCases) {
    const auto config = parse_speculative_config(c.text);
    ASSERT_TRUE(config.ok()) << c.text << ": " << config.error().message;
    EXPECT_EQ(config.value().num_speculative_tokens, c.tokens) << c.text;
    EXPECT_EQ(config.value().prompt_lookup_min, c.least) << c.text;
    EXPECT_EQ(config.value().prompt_lookup_max, c.most) << c.text;
    EXPECT_EQ(config.value().disable_by_batch_size, c.streams) << c.text;
  }
}

// Protects: what is wrong or not done here is refused by name, never silently left out.
TEST(SpeculativeConfig, RefusesByName) {
  struct Case {
    const char* text;
    const char* named;
  };
  const Case kCases[] = {
      {"", ""},
      {"[]", "object"},
      {R"({"num_speculative_tokens":4})", "method"},
      {R"({"method":1,"num_speculative_tokens":4})", "method"},
      {R"({"method":"eagle","num_speculative_tokens":4})", "eagle"},
      {R"({"method":"ngram"})", "num_speculative_tokens"},
      {R"({"method":"ngram","num_speculative_tokens":0})", "[1, 16]"},
      {R"({"method":"ngram","num_speculative_tokens":17})", "[1, 16]"},
      {R"({"method":"ngram","num_speculative_tokens":1.5})", "num_speculative_tokens"},
      {R"({"method":"ngram","num_speculative_tokens":4,"model":"draft"})", "model"},
      {R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":65})", "[1, 64]"},
      {R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":2,
           "prompt_lookup_min":3})",
       "prompt_lookup_min"},
  };
  for (const Case& c : kCases) {
    const auto config = parse_speculative_config(c.text);
    ASSERT_FALSE(config.ok()) << c.text;
    EXPECT_NE(config.error().message.find(c.named), std::string::npos) << config.error().message;
  }
}

}  // namespace
}  // namespace bitcpm
