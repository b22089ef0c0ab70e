#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "server/choice.h"
#include "server/generation_options.h"
#include "server/token_text.h"

namespace bitcpm {

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the prompts, found in the prefix cache
};

// Writes the answers to one request in the shapes of vLLM and OpenAI. Everything is one line.
class AnswerWriter {
 public:
  // Refers to both. `id`: what follows "cmpl-"; `created`: Unix seconds.
  AnswerWriter(const Tokenizer& tokenizer, const PreparedRequest& request, std::string_view id,
               std::string_view fingerprint, std::int64_t created);

  // choices[i]: all deltas of choice i, merged.
  std::string whole(std::span<const ChoiceDelta> choices, const Usage& usage) const;

  // Stream chunks; the last one of a choice names the fingerprint.
  // usage: with continuous_usage_stats, else nullptr.
  // prompt_ids: with return_token_ids, in a choice's first chunk; else nullptr.
  std::string role_chunk(std::size_t index, const std::vector<TokenId>* prompt_ids,
                         const Usage* usage) const;  // chat only
  std::string delta_chunk(std::size_t index, const ChoiceDelta& delta,
                          const std::vector<TokenId>* prompt_ids, const Usage* usage) const;
  std::string usage_chunk(const Usage& usage) const;

 private:
  json::value fingerprint_json() const;
  json::object envelope(std::string_view object) const;
  std::string chunk(json::object&& choice, const std::vector<TokenId>* prompt_ids,
                    const Usage* usage) const;
  std::string plain_chunk(std::size_t index, std::string_view text) const;
  json::array tool_calls(std::size_t choice, std::span<const ToolCallDelta> deltas) const;
  json::object whole_choice(std::size_t index, const ChoiceDelta& delta) const;
  json::value logprobs(const ChoiceDelta& delta) const;
  json::value completion_logprobs(std::span<const TokenRow> rows) const;
  json::value chat_logprobs(std::span<const TokenRow> rows) const;
  json::value prompt_logprobs(const ChoiceDelta& delta) const;
  json::object chat_entry(const TokenLogprobs::Entry& entry) const;

  const PreparedRequest& request_;
  TokenText token_text_;
  std::int64_t created_;
  std::string id_;
  std::string fingerprint_;
  std::string chunk_head_;  // of every chunk, up to the index of its choice
};

// GET /v1/models: a card for each served name.
std::string models_json(const RequestLimits& limits, std::string_view numerics,
                        std::int64_t created);

// GET /v1/models/{id}: the card of one that is served, see check_model.
std::string model_json(const RequestLimits& limits, std::string_view name,
                       std::string_view numerics, std::int64_t created);

// `text` with every ill-formed sequence replaced by U+FFFD: JSON must be UTF-8 (RFC 8259), and a
// served model's name may be any path.
std::string valid_utf8(std::string_view text);

}  // namespace bitcpm
