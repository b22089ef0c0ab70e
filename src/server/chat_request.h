#pragma once

#include <cstddef>
#include <string>

#include "server/generation_options.h"

namespace bitcpm {

inline constexpr std::size_t kMaxMessages = 4096;

// What a chat template needs: messages, add_generation_prompt, chat_template_kwargs.
struct TemplateContext {
  std::string json;            // for ChatTemplate::render
  std::string response_role;   // "assistant", or the last message's without a generation prompt
  std::size_t text_bytes = 0;  // of all messages' content
};

// The body of POST /v1/chat/completions, checked. sampling.logprobs is set.
struct ChatRequest {
  GenerationOptions options;
  TemplateContext context;
};

// Content that comes as a list of text parts is joined by line breaks, as vLLM does.
Parsed<ChatRequest> read_chat_request(FieldReader& fields, const RequestLimits& limits);

TemplateContext read_template_context(FieldReader& fields);

}  // namespace bitcpm
