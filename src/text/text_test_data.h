#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "text/tokenizer.h"

namespace bitcpm {

// A file of the checkout, by its path from the root.
inline std::string read_source_file(const std::string& path) {
  std::ifstream file(std::string(BITCPM_SOURCE_DIR) + "/" + path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The embedded model's tokenizer; SentencePiece BPE with byte fallback.
inline Tokenizer load_tiny_tokenizer() {
  auto tokenizer = Tokenizer::load(read_source_file("assets/bitcpm-tiny/tokenizer.json"),
                                   read_source_file("assets/bitcpm-tiny/tokenizer_config.json"));
  EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().message);
  return std::move(tokenizer).value();
}

}  // namespace bitcpm
