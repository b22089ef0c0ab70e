#pragma once

#include <string>
#include <variant>
#include <vector>

#include "server/generation_options.h"

namespace bitcpm {

using PromptInput = std::variant<std::string, std::vector<TokenId>>;

// The body of POST /v1/completions, checked. sampling.logprobs and prompt_logprobs are set.
struct CompletionRequest {
  GenerationOptions options;
  std::vector<PromptInput> prompts;  // at least one, none empty
  bool echo = false;
  bool want_prompt_logprobs = false;  // asked for as such, not only through echo
};

// `fields` is of the body; it tells the unknown fields afterwards.
Parsed<CompletionRequest> read_completion_request(FieldReader& fields, const RequestLimits& limits);

}  // namespace bitcpm
