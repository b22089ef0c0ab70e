#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/types.h"

namespace bitcpm {

using RequestId = std::uint64_t;

// How one request's tokens are drawn. Names, ranges and order of application are vLLM's
// (SamplingParams). The ranges are checked by Engine::submit.
struct SamplingParams {
  float temperature = 1.0f;                           // [0, 2]; below 1e-5: greedy
  float top_p = 1.0f;                                 // (0, 1]
  std::int32_t top_k = 0;                             // 0 or -1: off
  float min_p = 0.0f;                                 // [0, 1]
  float presence_penalty = 0.0f;                      // [-2, 2]
  float frequency_penalty = 0.0f;                     // [-2, 2]
  float repetition_penalty = 1.0f;                    // (0, 10]
  std::vector<std::pair<TokenId, float>> logit_bias;  // added to the logits, [-100, 100]
  std::uint64_t seed = 0;                             // with the position, decides every draw
  std::int32_t max_tokens = 16;                       // >= 1
  std::int32_t min_tokens = 0;                        // no stop id before that many
  bool ignore_eos = false;                            // the model's eos ids do not end the request
  std::vector<TokenId> stop_token_ids;                // end it besides, and even with ignore_eos
  std::vector<TokenId> allowed_token_ids;             // nothing else is drawn; empty: no limit
  // Sequences of token ids of which the output never holds one whole: the last id of each is
  // banned where the output before it ends with the others. The prompt does not count.
  std::vector<std::vector<TokenId>> bad_words;
  // What to report of each generated token: nothing; 0: its own log-probability; n: and the n most
  // likely ones; -1: all of the vocabulary.
  std::optional<std::int32_t> logprobs;
  std::optional<std::int32_t> prompt_logprobs;  // the same for each prompt token
  // Reported of each generated token instead of the most likely ones, in this order; then logprobs
  // is unset or their number.
  std::vector<TokenId> logprob_token_ids;
  // Lower runs earlier; equal ones in order of arrival. Changes when, never what.
  std::int32_t priority = 0;
  std::string cache_salt;  // prompts are found in the prefix cache only under the same salt

  bool wants_logprobs() const { return logprobs.has_value() || !logprob_token_ids.empty(); }
};

// Natural log-probabilities of one position, or logits: EngineConfig::logprobs_mode.
struct TokenLogprobs {
  struct Entry {
    TokenId token;
    float logprob;
  };
  Entry chosen;
  std::int32_t rank;       // of the chosen token, 1 = most likely
  std::vector<Entry> top;  // most likely first, equal ones by ascending id; or logprob_token_ids
};

enum class FinishReason : std::uint8_t {
  kStop,       // a stop id; EngineEvent::stop_token names it
  kLength,     // max_tokens, or the model's context is full
  kCancelled,  // cancel(), or the engine is stopping
};

// When a request passed its stations.
struct RequestTimes {
  using TimePoint = std::chrono::steady_clock::time_point;
  TimePoint arrival;                     // submit() was called
  std::optional<TimePoint> scheduled;    // its first step began
  std::optional<TimePoint> first_token;  // the step of its first token was done
  TimePoint finished;                    // the epoch: not yet
  std::int32_t preemptions = 0;          // how often it lost its blocks in between
};

// What a request's sink receives. Every accepted request gets any number of token events and
// exactly one event with `finish`, the last; it may carry a token as well.
struct EngineEvent {
  RequestId request = 0;
  std::optional<TokenId> token;
  std::optional<TokenLogprobs> logprobs;  // of `token`, if asked for
  // Entry i is of prompt token i + 1; in one event before the first token, if asked for.
  std::vector<TokenLogprobs> prompt_logprobs;
  std::optional<FinishReason> finish;
  std::optional<TokenId> stop_token;  // with kStop; the token itself is in `token` too
  std::optional<RequestTimes> times = std::nullopt;  // with the first token and with `finish`
  std::int32_t cached_tokens = 0;                    // of the prompt, found in the prefix cache
};

// Called on the engine thread: must return at once, never throw, never call back into the engine.
using EventSink = std::function<void(EngineEvent&&)>;

}  // namespace bitcpm
