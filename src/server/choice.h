#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/request.h"
#include "server/prepared_request.h"
#include "server/stop_strings.h"
#include "server/tool_call_parser.h"
#include "text/detokenizer.h"

namespace bitcpm {

// One token of an answer: with echo, of the prompt too.
struct TokenRow {
  TokenId token = 0;
  std::optional<TokenLogprobs> logprobs;  // absent for a prompt's first token
  std::size_t text_offset = 0;            // characters of the choice's text before it
};

// null, the stop string, or the stop id of the request: vLLM's stop_reason.
using StopReason = std::variant<std::monostate, std::string, TokenId>;

// What one engine event adds to a choice.
struct ChoiceDelta {
  std::string text;
  std::vector<TokenId> token_ids;              // generated ones
  std::vector<TokenRow> rows;                  // only if the request asked for logprobs
  std::vector<TokenLogprobs> prompt_logprobs;  // entry i is of prompt token i + 1
  std::vector<ToolCallDelta> tool_calls;
  std::string_view finish_reason;  // "stop", "length", "tool_calls"; empty: goes on
  StopReason stop_reason;

  void merge(ChoiceDelta&& later);
};

// One running choice of a request: turns the engine's tokens into text, ends at stop strings, keeps
// the offsets for logprobs. Knows neither sockets nor JSON. Refers to request and prompt.
class Choice {
 public:
  Choice(const Tokenizer& tokenizer, const PreparedRequest& request, const PreparedPrompt& prompt);

  // Events after the end are ignored: a cancelled request's last ones still arrive.
  ChoiceDelta accept(EngineEvent&& event);

  bool finished() const { return finished_; }
  std::int32_t completion_tokens() const { return completion_tokens_; }
  std::int32_t cached_tokens() const { return cached_tokens_; }  // of the prompt

 private:
  void begin(EngineEvent& event, ChoiceDelta& delta);
  void accept_token(EngineEvent& event, ChoiceDelta& delta);
  void append(std::string_view piece, ChoiceDelta& delta);
  void add_text(std::string_view text, ChoiceDelta& delta);
  void end(std::string_view reason, ChoiceDelta& delta);
  void finish(const EngineEvent& event, ChoiceDelta& delta);

  const PreparedRequest& request_;
  const PreparedPrompt& prompt_;
  Detokenizer detokenizer_;
  StopStrings stop_strings_;
  std::optional<ToolCallParser> tool_calls_;
  bool begun_ = false;
  bool finished_ = false;
  std::int32_t completion_tokens_ = 0;
  std::int32_t cached_tokens_ = 0;
  std::size_t characters_ = 0;  // of text produced, that held back included
};

}  // namespace bitcpm
