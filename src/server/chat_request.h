#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/chat_messages.h"
#include "server/generation_options.h"

namespace bitcpm {

class ChatTemplate;

// What a chat template needs: messages, add_generation_prompt, tools, documents, reasoning_effort,
// chat_template_kwargs.
struct TemplateContext {
  json::object variables;                     // for ChatTemplate::render
  std::vector<std::string_view> must_matter;  // variables that must not be ignored by the template
  std::string response_role;                  // "assistant", or the last message's without a
                                              // generation prompt
  std::optional<std::string> continued;       // the last message's content, to be gone on with
  std::size_t text_bytes = 0;                 // of all that came from the request
  bool may_call = false;                      // there are tools, and a call is not ruled out
};

// The body of POST /v1/chat/completions, checked. sampling.logprobs is set.
struct ChatRequest {
  GenerationOptions options;
  TemplateContext context;
  std::string echo_text;            // with echo: the last message's, if its role is the answer's
  std::size_t most_tool_calls = 0;  // to be taken out of an answer's text; 0: it stays as it is
};

Parsed<ChatRequest> read_chat_request(FieldReader& fields, const RequestLimits& limits);

TemplateContext read_template_context(FieldReader& fields, const RequestLimits& limits);

// The prompt. Errors: 400 from the template itself, and for a variable that the request asks for
// and that makes no difference to the text. With `continued` the text ends with it. Any thread.
Parsed<std::string> render_chat(const TemplateContext& context, const ChatTemplate& chat_template);

}  // namespace bitcpm
