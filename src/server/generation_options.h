#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "io/model_config.h"
#include "server/field_reader.h"

namespace bitcpm {

// What requests are checked against; fixed while the server runs.
struct RequestLimits {
  std::vector<std::string> served_model_names;  // never empty
  GenerationDefaults generation;
  std::int32_t max_model_len = 0;
  std::int32_t max_logprobs = 20;
  std::int32_t vocab_size = 0;
  json::object template_kwargs;  // variables of every chat template
  bool force_include_usage = false;
  bool return_tokens_as_token_ids = false;
  bool exclude_tools_when_tool_choice_none = false;
  bool parse_tool_calls = false;
  std::size_t longest_piece_bytes = 16;  // of the vocabulary; see longest_piece_bytes()

  // A longer text does not fit the context: no token stands for more bytes than the longest entry
  // of the vocabulary has. Tokenising takes some 150 times the text's memory, hence the look
  // before.
  std::size_t fitting_text_bytes() const {
    return static_cast<std::size_t>(max_model_len) * longest_piece_bytes;
  }
  // Of a text that may be longer: to be cut, to be counted, or a chat's, of which the template may
  // leave out a part.
  std::size_t most_text_bytes() const { return 4 * fitting_text_bytes(); }
};

inline constexpr std::int64_t kMaxChoicesPerPrompt = 128;
inline constexpr std::size_t kMaxChoices = 1024;  // prompts * n of one request
inline constexpr std::size_t kMaxStopStrings = 16;
inline constexpr std::size_t kMaxStopStringBytes = 1024;
inline constexpr std::size_t kMaxStopTokenIds = 128;
inline constexpr std::size_t kMaxLogitBiases = 1024;
inline constexpr std::size_t kMaxLogprobTokenIds = 128;
inline constexpr std::size_t kMaxLogprobEntries = std::size_t{1} << 22;  // of one answer
inline constexpr std::size_t kMaxBadWords = 256;
inline constexpr std::size_t kMaxBadWordBytes = 1024;

// The fields that completions and chat completions share, checked.
struct GenerationOptions {
  std::string model;        // as asked for, or the canonical name
  SamplingParams sampling;  // max_tokens, seed and bad_words still to be decided
  std::vector<std::string> bad_words;
  std::string request_id;  // the client's; empty: none
  std::optional<std::int32_t> max_tokens;
  std::optional<std::int64_t> seed;
  std::int32_t n = 1;
  std::vector<std::string> stop;
  bool include_stop_str_in_output = false;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage_stats = false;
  bool skip_special_tokens = true;
  bool add_special_tokens = true;
  bool return_token_ids = false;
  bool return_tokens_as_token_ids = false;
  std::optional<std::int32_t> truncate_prompt_tokens;  // -1: to what fits
  bool truncate_right = false;                         // keep the first tokens, not the last
};

// Reads them; on a mistake `fields` has failed and the result means nothing. logprobs is left to
// the caller: its type differs between the two endpoints.
GenerationOptions read_generation_options(FieldReader& fields, const RequestLimits& limits);

// A number of most likely tokens: up to --max-logprobs; -1, all, only if that allows as many.
std::optional<std::int32_t> read_logprobs_count(FieldReader& fields, std::string_view name,
                                                const RequestLimits& limits);

}  // namespace bitcpm
