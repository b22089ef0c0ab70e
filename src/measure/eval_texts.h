#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace bitcpm {

class Tokenizer;

// What a model reads at once, and how much of it is scored: every id from `first_scored` on is
// predicted from all ids before it.
struct EvalWindow {
  std::vector<TokenId> ids;      // at least two
  std::size_t first_scored = 1;  // in [1, ids.size())

  std::size_t predictions() const { return ids.size() - first_scored; }
  // The positions whose logits count: those that predict a scored id, and the last one.
  std::size_t first_row() const { return first_scored - 1; }
  std::size_t rows() const { return ids.size() - first_row(); }
};

std::size_t count_rows(std::span<const EvalWindow> windows);

// Texts to evaluate on, as a file holds them.
struct EvalTexts {
  std::vector<std::string> records;  // JSONL: the strings of "text"; else the lines, each with its
                                     // line break, as WikiText's raw files have them
  std::string whole;                 // JSONL: the records joined by "\n\n"; else the file
};

// A name that ends in .jsonl holds one {"text": "..."} per line; any other is plain text, in UTF-8.
// Errors: kInvalid (no text at all), kCorrupt (a line of JSON that is not such an object); without
// the file's name.
Result<EvalTexts> parse_eval_texts(std::string_view file_name, std::string_view content);

// The reference deployment's method: the first `texts` records (0: all) whose length without
// surrounding white space exceeds `min_characters` code points, each with BOS and cut to
// `max_length` tokens. Records that come to a single token predict nothing and are left out.
// Errors: kInvalid (none is left).
struct RecordRule {
  std::size_t texts = 50;
  std::size_t min_characters = 50;
  std::size_t max_length = 512;
};
Result<std::vector<EvalWindow>> record_windows(const Tokenizer& tokenizer, const EvalTexts& texts,
                                               const RecordRule& rule);

// The usual sliding window over the whole text with one BOS: windows of `max_length` tokens that
// begin `stride` tokens apart, each scoring what the one before has not. Every token but the first
// is scored once; with a stride of `max_length`, every one that does not begin a window. Errors:
// kInvalid (fewer than two tokens). 1 <= stride <= max_length, max_length >= 2.
Result<std::vector<EvalWindow>> strided_windows(const Tokenizer& tokenizer, const EvalTexts& texts,
                                                std::size_t max_length, std::size_t stride);

// Code points of the text without Unicode white space at its ends: Python's len(text.strip()).
std::size_t stripped_characters(std::string_view utf8);

}  // namespace bitcpm
