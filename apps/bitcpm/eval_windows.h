#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "eval_side.h"
#include "measure/eval_texts.h"
#include "option_values.h"
#include "text/tokenizer.h"

namespace bitcpm {

// Which text is evaluated, and how it is cut.
struct TextOptions {
  std::string file;  // empty: eval_sample()
  OptionalCount texts;
  OptionalCount min_characters;
  OptionalCount max_length;
  OptionalCount stride;  // set: the sliding window
};

void add_text_options(CLI::App& app, TextOptions& options);

// What no single flag can know; empty if the flags make sense together.
std::string text_usage_error(const TextOptions& options);

// "wikitext.jsonl: the first 50 texts over 50 characters, cut to 512 tokens", and in parts.
std::string describe_text(const TextOptions& options);
json::object text_json(const TextOptions& options);

// The windows of a file for a model. Errors: the file's, named; kInvalid (windows longer than the
// model's positions).
Result<std::vector<EvalWindow>> choose_windows(const TextOptions& options,
                                               const Tokenizer& tokenizer,
                                               std::int32_t max_positions);

// What two sides are compared on: a saved run's own windows, or those of the options as the first
// model's tokenizer has them. Errors: kInvalid (two runs of different texts, a run of another
// vocabulary, or two tokenizers that disagree).
Result<std::vector<EvalWindow>> shared_windows(const TextOptions& options, EvalSide& a,
                                               EvalSide& b);

std::size_t longest_window(std::span<const EvalWindow> windows);

// English and Chinese prose of more than a thousand tokens.
std::string_view eval_sample();

}  // namespace bitcpm
