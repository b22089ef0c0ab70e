#pragma once

#include <string>

#include "server/generation_options.h"

namespace bitcpm {

inline constexpr std::size_t kMaxMessages = 4096;

// The body of POST /v1/chat/completions, checked. sampling.logprobs is set.
struct ChatRequest {
  GenerationOptions options;
  std::string template_context;  // for ChatTemplate::render
  std::string response_role;     // "assistant", or the last message's without a generation prompt
};

// Content that comes as a list of text parts is joined by line breaks, as vLLM does.
Parsed<ChatRequest> read_chat_request(FieldReader& fields, const RequestLimits& limits);

// Only what a template needs: messages, add_generation_prompt, chat_template_kwargs.
std::string read_template_context(FieldReader& fields, std::string& response_role);

}  // namespace bitcpm
