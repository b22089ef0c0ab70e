#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/generation_options.h"

namespace bitcpm {

class ChatTemplate;
class Tokenizer;

struct PreparedPrompt {
  std::vector<TokenId> ids;
  std::string echo_text;             // what `echo` puts before the completion; else empty
  std::vector<std::size_t> offsets;  // [ids] where each begins in echo_text, in characters
};

// A request that is ready for the engine.
struct PreparedRequest {
  bool is_chat = false;
  GenerationOptions options;  // sampling complete but for the seed
  std::vector<PreparedPrompt> prompts;
  bool echo = false;
  bool echo_only = false;  // max_tokens 0: what the engine generates is dropped
  bool want_prompt_logprobs = false;
  std::string response_role;
  std::size_t most_tool_calls = 0;  // to be taken out of a chat's answers; 0: left in the text
  std::string echo_text;            // of a chat: what its answers begin with
  std::vector<std::string> unknown_fields;  // a few, for the log

  // Scoring a prompt takes the engine one token more than the prompt; echoing it takes nothing.
  bool needs_engine() const { return !echo_only || options.sampling.prompt_logprobs; }
};

struct TextTools {
  const Tokenizer& tokenizer;
  const ChatTemplate& chat_template;
};

// A request body becomes token ids: JSON, fields, template, tokenizer, lengths. Seconds of work for
// a hostile body, hence not for the thread that serves the sockets. Any thread.
Parsed<PreparedRequest> prepare_completion(std::string_view body, const RequestLimits& limits,
                                           const TextTools& tools);
Parsed<PreparedRequest> prepare_chat(std::string_view body, const RequestLimits& limits,
                                     const TextTools& tools);

}  // namespace bitcpm
