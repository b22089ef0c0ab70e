#include "engine/logits_processors.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

namespace bitcpm {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

float& at(std::span<float> logits, TokenId id) { return logits[static_cast<std::size_t>(id)]; }

bool has_penalties(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 ||
         params.frequency_penalty != 0;
}

// Bans the last id of every sequence whose others end the output.
void ban_bad_words(std::span<float> logits, std::span<const TokenId> output,
                   std::span<const std::vector<TokenId>> bad_words) {
  for (const std::vector<TokenId>& word : bad_words) {
    const std::size_t prefix = word.size() - 1;
    if (prefix > output.size()) continue;
    if (std::equal(word.begin(), word.end() - 1,
                   output.end() - static_cast<std::ptrdiff_t>(prefix))) {
      at(logits, word.back()) = kMinusInfinity;
    }
  }
}

// Repetition: CTRL, arXiv:1909.05858, section 4.1. Presence and frequency: OpenAI's API reference.
void penalize(std::span<float> logits, const SamplingParams& params, const TokenCounts& counts) {
  for (const TokenCounts::Entry& entry : counts.entries()) {
    float& logit = at(logits, entry.token);
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (entry.outputs > 0) {
      logit -=
          params.frequency_penalty * static_cast<float>(entry.outputs) + params.presence_penalty;
    }
  }
}

}  // namespace

bool adjusts_logits(const Sequence& sequence) {
  const SamplingParams& params = sequence.params;
  return !params.allowed_token_ids.empty() || !params.bad_words.empty() ||
         !params.logit_bias.empty() || has_penalties(params) ||
         sequence.generated() < params.min_tokens;
}

LogitsProcessors::LogitsProcessors(std::vector<TokenId> eos_token_ids)
    : eos_token_ids_(std::move(eos_token_ids)) {}

void LogitsProcessors::apply(std::span<float> logits, Sequence& sequence) {
  const SamplingParams& params = sequence.params;
  if (!params.allowed_token_ids.empty()) {
    kept_.clear();
    for (const TokenId id : params.allowed_token_ids) kept_.push_back(at(logits, id));
    std::fill(logits.begin(), logits.end(), kMinusInfinity);
    for (std::size_t i = 0; i < kept_.size(); ++i)
      at(logits, params.allowed_token_ids[i]) = kept_[i];
  }
  const auto prompt_tokens = static_cast<std::size_t>(sequence.prompt_tokens);
  ban_bad_words(logits, std::span(sequence.tokens).subspan(prompt_tokens), params.bad_words);
  if (sequence.generated() < params.min_tokens) {
    for (const TokenId id : params.stop_token_ids) at(logits, id) = kMinusInfinity;
    if (!params.ignore_eos) {
      for (const TokenId id : eos_token_ids_) at(logits, id) = kMinusInfinity;
    }
  }
  for (const auto& [id, bias] : params.logit_bias) at(logits, id) += bias;
  if (has_penalties(params)) {
    sequence.counts.catch_up(sequence.tokens, prompt_tokens,
                             prompt_tokens + static_cast<std::size_t>(params.max_tokens));
    penalize(logits, params, sequence.counts);
  }
}

}  // namespace bitcpm
