#include "base/quote.h"

#include <gtest/gtest.h>

#include <string>

namespace bitcpm {
namespace {

// Protects: no name from a file can break a log line, colour a terminal or flood it.
TEST(Quote, MakesAnyTextOneShortPrintableLine) {
  EXPECT_EQ(escaped("model.norm.weight"), "model.norm.weight");
  EXPECT_EQ(quote_name(""), "''");
  EXPECT_EQ(quote_name(std::string("a\n\x1b[31m\0\xe4\x7f", 10)),
            "'a\\x0a\\x1b[31m\\x00\\xe4\\x7f'");
  EXPECT_EQ(escaped("abcd", 4), "abcd");
  EXPECT_EQ(escaped("abcde", 4), "abcd...");
  EXPECT_LE(escaped(std::string(1 << 20, '\n'), 80).size(), 90u);
}

}  // namespace
}  // namespace bitcpm
