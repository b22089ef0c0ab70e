#include "engine/request_check.h"

#include <cmath>
#include <cstdio>
#include <string>

namespace bitcpm {
namespace {

constexpr std::size_t kMaxStopTokenIds = 128;
constexpr std::size_t kMaxLogitBias = 1024;
constexpr std::size_t kMaxBadWords = 1024;
constexpr std::size_t kMaxBadWordTokens = 8192;   // over all bad words
constexpr std::size_t kMaxLogprobTokenIds = 128;  // vLLM's MAX_LOGPROB_TOKEN_IDS
constexpr std::int64_t kMaxReported = 1 << 24;    // entries of all positions: 128 MiB

// fmt-free: "%g" of a float without locale surprises.
std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

struct RangeCheck {
  const char* name;
  double value;
  double least;
  double most;
  bool open_below = false;  // least itself is excluded
};

Status check_ranges(std::span<const RangeCheck> checks) {
  for (const RangeCheck& c : checks) {
    const bool low = c.open_below ? !(c.value > c.least) : !(c.value >= c.least);
    if (std::isfinite(c.value) && !low && c.value <= c.most) continue;
    return Error{Errc::kInvalid, std::string(c.name) + " must be in " + (c.open_below ? "(" : "[") +
                                     number(c.least) + ", " + number(c.most) + "], got " +
                                     number(c.value)};
  }
  return {};
}

Status check_ids(std::span<const TokenId> ids, const char* name, std::int32_t vocab_size) {
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size) {
      return Error{Errc::kInvalid, std::string(name) + ": token id " + std::to_string(id) +
                                       " is outside the vocabulary of " +
                                       std::to_string(vocab_size)};
    }
  }
  return {};
}

Status check_logit_bias(const SamplingParams& params, std::int32_t vocab_size) {
  if (params.logit_bias.size() > kMaxLogitBias) {
    return Error{Errc::kInvalid, "logit_bias: more than " + std::to_string(kMaxLogitBias)};
  }
  for (const auto& [id, bias] : params.logit_bias) {
    BITCPM_TRY(check_ids({&id, 1}, "logit_bias", vocab_size));
    const RangeCheck range{"logit_bias", bias, -100, 100};
    BITCPM_TRY(check_ranges({&range, 1}));
  }
  return {};
}

// The allowed ids index a row of logits, whose width counts here, not the tokenizer's.
Status check_constraints(const SamplingParams& params, std::int32_t vocab_size) {
  if (params.allowed_token_ids.size() > static_cast<std::size_t>(vocab_size)) {
    return Error{Errc::kInvalid,
                 "allowed_token_ids: more than the vocabulary's " + std::to_string(vocab_size)};
  }
  BITCPM_TRY(check_ids(params.allowed_token_ids, "allowed_token_ids", vocab_size));
  if (params.bad_words.size() > kMaxBadWords) {
    return Error{Errc::kInvalid, "bad_words: more than " + std::to_string(kMaxBadWords)};
  }
  std::size_t tokens = 0;
  for (const std::vector<TokenId>& word : params.bad_words) {
    if (word.empty()) return Error{Errc::kInvalid, "bad_words: a word has no tokens"};
    tokens += word.size();
    if (tokens > kMaxBadWordTokens) {
      return Error{Errc::kInvalid,
                   "bad_words: more than " + std::to_string(kMaxBadWordTokens) + " tokens"};
    }
    BITCPM_TRY(check_ids(word, "bad_words", vocab_size));
  }
  return {};
}

// A number of most likely tokens, or -1 for all; vLLM counts the latter as the vocabulary's size.
Status check_top(std::optional<std::int32_t> top, const char* name, std::int32_t most,
                 std::int32_t vocab_size) {
  if (!top || (*top >= 0 && *top <= most) || (*top == -1 && most >= vocab_size)) return {};
  return Error{Errc::kInvalid, std::string(name) + " must be in [0, " + std::to_string(most) + "]" +
                                   (most >= vocab_size ? " or -1" : "") + ", got " +
                                   std::to_string(*top)};
}

Status check_logprobs(std::size_t prompt_tokens, const SamplingParams& params,
                      std::int32_t max_logprobs, std::int32_t vocab_size) {
  const std::int32_t most = max_logprobs == -1 ? vocab_size : max_logprobs;
  BITCPM_TRY(check_top(params.logprobs, "logprobs", most, vocab_size));
  BITCPM_TRY(check_top(params.prompt_logprobs, "prompt_logprobs", most, vocab_size));
  const std::size_t ids = params.logprob_token_ids.size();
  if (ids > kMaxLogprobTokenIds) {
    return Error{Errc::kInvalid,
                 "logprob_token_ids: more than " + std::to_string(kMaxLogprobTokenIds)};
  }
  BITCPM_TRY(check_ids(params.logprob_token_ids, "logprob_token_ids", vocab_size));
  if (ids > 0 && params.logprobs && *params.logprobs != static_cast<std::int32_t>(ids)) {
    return Error{Errc::kInvalid, "logprobs must be the number of logprob_token_ids, " +
                                     std::to_string(ids) + ", or unset; got " +
                                     std::to_string(*params.logprobs)};
  }
  const auto entries = [&](std::size_t positions, std::optional<std::int32_t> top) {
    const std::int32_t each = !top ? 0 : *top < 0 ? vocab_size : *top;
    return static_cast<std::int64_t>(positions) * each;
  };
  const std::int64_t reported =
      entries(prompt_tokens, params.prompt_logprobs) +
      entries(static_cast<std::size_t>(params.max_tokens), params.logprobs);
  if (reported > kMaxReported) {
    return Error{Errc::kInvalid, "logprobs and prompt_logprobs ask for up to " +
                                     std::to_string(reported) + " entries, more than " +
                                     std::to_string(kMaxReported)};
  }
  return {};
}

}  // namespace

Status check_request(std::span<const TokenId> prompt, const SamplingParams& params,
                     const EngineConfig& config, std::int32_t vocab_size) {
  const RangeCheck checks[] = {
      {"temperature", params.temperature, 0, 2},
      {"top_p", params.top_p, 0, 1, true},
      {"top_k", static_cast<double>(params.top_k), -1, 1 << 30},
      {"min_p", params.min_p, 0, 1},
      {"presence_penalty", params.presence_penalty, -2, 2},
      {"frequency_penalty", params.frequency_penalty, -2, 2},
      {"repetition_penalty", params.repetition_penalty, 0, 10, true},
      {"max_tokens", static_cast<double>(params.max_tokens), 1, 1 << 30},
      {"min_tokens", static_cast<double>(params.min_tokens), 0,
       static_cast<double>(params.max_tokens)},
  };
  if (prompt.empty()) return Error{Errc::kInvalid, "the prompt has no tokens"};
  BITCPM_TRY(check_ranges(checks));
  const std::size_t total = prompt.size() + static_cast<std::size_t>(params.max_tokens);
  if (total > static_cast<std::size_t>(config.max_model_len)) {
    return Error{Errc::kInvalid,
                 "This model's maximum context length is " + std::to_string(config.max_model_len) +
                     " tokens. However, you requested " + std::to_string(total) + " tokens (" +
                     std::to_string(prompt.size()) + " in the prompt, " +
                     std::to_string(params.max_tokens) + " in the completion)"};
  }
  BITCPM_TRY(check_ids(prompt, "prompt", vocab_size));
  if (params.stop_token_ids.size() > kMaxStopTokenIds) {
    return Error{Errc::kInvalid, "stop_token_ids: more than " + std::to_string(kMaxStopTokenIds)};
  }
  BITCPM_TRY(check_ids(params.stop_token_ids, "stop_token_ids", vocab_size));
  BITCPM_TRY(check_constraints(params, vocab_size));
  BITCPM_TRY(check_logprobs(prompt.size(), params, config.max_logprobs, vocab_size));
  return check_logit_bias(params, vocab_size);
}

}  // namespace bitcpm
