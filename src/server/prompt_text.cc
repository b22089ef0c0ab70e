#include "server/prompt_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "text/tokenizer.h"

namespace bitcpm {

std::size_t longest_piece_bytes(const Tokenizer& tokenizer) {
  std::size_t longest = RequestLimits{}.longest_piece_bytes;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    longest = std::max(longest, tokenizer.piece(id).size());
  }
  return longest;
}

std::optional<ApiError> check_text_bytes(std::size_t bytes, const RequestLimits& limits,
                                         std::string_view param) {
  const std::size_t most = limits.most_text_bytes();
  if (bytes <= most) return std::nullopt;
  return bad_request(
      fmt::format("'{}' has {} bytes of text; at most {} are taken, even if the text "
                  "is to be cut to its last tokens or only counted",
                  param, bytes, most),
      std::string(param));
}

ApiError prompt_too_long(const GenerationOptions& options, const RequestLimits& limits,
                         std::int64_t input_tokens, bool at_least, std::int64_t reserved,
                         std::string_view param) {
  const std::string_view bound = at_least ? "at least " : "";
  const std::int64_t output_tokens = options.max_tokens.value_or(1);
  return bad_request(
      fmt::format("This model's maximum context length is {} tokens. However, you requested {} "
                  "output tokens and your prompt contains {}{} input tokens, for a total of {}{} "
                  "tokens{}. Please reduce the length of the input prompt or the number of "
                  "requested output tokens.",
                  limits.max_model_len, output_tokens, bound, input_tokens, bound,
                  input_tokens + output_tokens,
                  reserved > 0 ? ", and scoring a prompt takes one position more" : ""),
      std::string(param));
}

Parsed<std::vector<TokenId>> encode_prompt_text(std::string_view text,
                                                const GenerationOptions& options,
                                                const RequestLimits& limits,
                                                const Tokenizer& tokenizer,
                                                std::string_view param) {
  if (options.truncate_prompt_tokens) {
    if (auto error = check_text_bytes(text.size(), limits, param)) return std::move(*error);
  } else if (text.size() > limits.fitting_text_bytes()) {
    const std::size_t piece = limits.longest_piece_bytes;
    const auto least_tokens = static_cast<std::int64_t>((text.size() + piece - 1) / piece);
    return prompt_too_long(options, limits, least_tokens, true, 0, param);
  }
  Result<std::vector<TokenId>> ids = tokenizer.encode(text, options.add_special_tokens);
  if (!ids.ok()) return from_error(ids.error());
  return std::move(*ids);
}

}  // namespace bitcpm
