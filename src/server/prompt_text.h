#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "server/generation_options.h"

namespace bitcpm {

class Tokenizer;

// Of the vocabulary, added tokens included; at least 16. Walks all of it: once, at the start.
std::size_t longest_piece_bytes(const Tokenizer& tokenizer);

// A text beyond RequestLimits::most_text_bytes is a 400, whatever becomes of it: `param` names it.
std::optional<ApiError> check_text_bytes(std::size_t bytes, const RequestLimits& limits,
                                         std::string_view param);

// vLLM's words for a prompt that does not fit the context.
//   at_least  `input_tokens` is a lower bound
//   reserved  positions the engine takes beyond input and requested output
ApiError prompt_too_long(const GenerationOptions& options, const RequestLimits& limits,
                         std::int64_t input_tokens, bool at_least, std::int64_t reserved,
                         std::string_view param);

// Refused without being tokenised if it is too long to fit; with truncate_prompt_tokens, if it is
// too long to be cut.
Parsed<std::vector<TokenId>> encode_prompt_text(std::string_view text,
                                                const GenerationOptions& options,
                                                const RequestLimits& limits,
                                                const Tokenizer& tokenizer, std::string_view param);

}  // namespace bitcpm
