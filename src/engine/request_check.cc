#include "engine/request_check.h"

#include <cmath>
#include <cstdio>
#include <string>

namespace bitcpm {
namespace {

constexpr std::size_t kMaxStopTokenIds = 128;
constexpr std::size_t kMaxLogitBias = 1024;

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

}  // namespace

Status check_request(std::span<const TokenId> prompt, const SamplingParams& params,
                     const EngineConfig& config, std::int32_t vocab_size) {
  const double most_logprobs = config.max_logprobs;
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
      {"logprobs", static_cast<double>(params.logprobs), -1, most_logprobs},
      {"prompt_logprobs", static_cast<double>(params.prompt_logprobs), -1, most_logprobs},
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
  return check_logit_bias(params, vocab_size);
}

}  // namespace bitcpm
