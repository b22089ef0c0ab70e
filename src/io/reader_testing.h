#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

// What the tests of the readers share.
namespace bitcpm {

// `text` must outlive the result.
inline std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

inline std::string read_source_file(const std::string& path) {
  std::ifstream in(std::string(BITCPM_SOURCE_DIR) + "/" + path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// `text` with its first `old_part` replaced; the test fails if there is none, so that no case of a
// table silently becomes the unaltered file.
inline std::string replaced(std::string text, std::string_view old_part,
                            std::string_view new_part) {
  const std::size_t at = text.find(old_part);
  EXPECT_NE(at, std::string::npos) << old_part;
  if (at != std::string::npos) text.replace(at, old_part.size(), new_part);
  return text;
}

// The input was refused, for `reason`, in one short line of printable text.
template <class T>
void expect_refused(const Result<T>& result, std::string_view reason, std::string_view name) {
  ASSERT_FALSE(result.ok()) << name;
  const std::string& message = result.error().message;
  EXPECT_NE(message.find(reason), std::string::npos) << name << ": " << message;
  EXPECT_LT(message.size(), 500u) << name;
  for (const char c : message) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << name << ": " << message;
}

}  // namespace bitcpm
