#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace bitcpm {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kGreedyBelow = 1e-5f;       // vLLM's _SAMPLING_EPS
constexpr float kLeastTemperature = 1e-2f;  // vLLM's _MAX_TEMP: below it logits / T may overflow

// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

float or_minus_infinity(float logit) { return std::isnan(logit) ? kMinusInfinity : logit; }

// The first of the largest; a NaN is none. Sixteen chains, which the compiler turns into vectors.
TokenId argmax(std::span<const float> logits) {
  constexpr std::size_t kChains = 16;
  float best[kChains];
  std::fill_n(best, kChains, kMinusInfinity);
  std::size_t i = 0;
  for (; i + kChains <= logits.size(); i += kChains) {
    for (std::size_t j = 0; j < kChains; ++j) {
      best[j] = logits[i + j] > best[j] ? logits[i + j] : best[j];
    }
  }
  for (; i < logits.size(); ++i) best[0] = logits[i] > best[0] ? logits[i] : best[0];
  const float most = *std::max_element(best, best + kChains);
  const auto first = std::find(logits.begin(), logits.end(), most);
  return first == logits.end() ? 0 : static_cast<TokenId>(first - logits.begin());
}

}  // namespace

double uniform_draw(std::uint64_t seed, std::uint64_t position) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;
  const std::uint64_t bits = mix(mix(seed + kGolden) ^ mix((position + 1) * kGolden));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::int32_t deciding_logits(const Sequence& sequence) {
  const SamplingParams& params = sequence.params;
  if (adjusts_logits(sequence) || params.wants_logprobs()) return 0;
  if (params.temperature < kGreedyBelow) return 1;
  return std::max(params.top_k, 0);
}

Sampler::Sampler(std::int32_t vocab_size, std::vector<TokenId> eos_token_ids, LogprobsMode mode)
    : mode_(mode),
      processors_(std::move(eos_token_ids)),
      logits_(static_cast<std::size_t>(vocab_size)) {
  candidates_.reserve(logits_.size());
  weights_.reserve(logits_.size());
}

Sampler::Sample Sampler::sample(std::span<const float> logits, Sequence& sequence) {
  BITCPM_CHECK(logits.size() == logits_.size());
  if (deciding_logits(sequence) == 1) return {argmax(logits), std::nullopt};
  const SamplingParams& params = sequence.params;
  const bool greedy = params.temperature < kGreedyBelow;
  take(logits);
  processors_.apply(logits_, sequence);
  Sample sample;
  sample.token =
      greedy
          ? argmax(logits_)
          : draw(params, uniform_draw(params.seed, static_cast<std::uint64_t>(sequence.length())));
  if (!params.wants_logprobs()) return sample;
  if (mode_ == LogprobsMode::kRawLogprobs || mode_ == LogprobsMode::kRawLogits) {
    take(logits);
  } else if (!greedy) {
    keep_candidates(std::max(params.temperature, kLeastTemperature));
  }
  const bool as_logits =
      mode_ == LogprobsMode::kRawLogits || mode_ == LogprobsMode::kProcessedLogits;
  sample.logprobs =
      report(sample.token, {params.logprobs.value_or(0), params.logprob_token_ids, as_logits});
  return sample;
}

void Sampler::take(std::span<const float> logits) {
  std::transform(logits.begin(), logits.end(), logits_.begin(), or_minus_infinity);
}

// logits_ / temperature, and minus infinity where draw() kept no candidate.
void Sampler::keep_candidates(float temperature) {
  std::fill(logits_.begin(), logits_.end(), kMinusInfinity);
  for (const Candidate& c : candidates_) {
    logits_[static_cast<std::size_t>(c.token)] = c.logit / temperature;
  }
}

// Sorts ever longer prefixes of candidates_ until one holds `mass` of the weights; returns its
// length. A nucleus is usually a few dozen tokens, so most of the vocabulary is never sorted.
std::size_t Sampler::sorted_prefix_of_mass(double mass) {
  for (std::size_t sorted = 0, goal = 64;; goal *= 8) {
    const std::size_t end = std::min(goal, candidates_.size());
    const auto first = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
    std::partial_sort(first, candidates_.begin() + static_cast<std::ptrdiff_t>(end),
                      candidates_.end(), ranks_before);
    sorted = end;
    double sum = 0;
    for (std::size_t i = 0; i < end; ++i) {
      sum += weights_[static_cast<std::size_t>(candidates_[i].token)];
      if (sum >= mass) return i + 1;
    }
    if (end == candidates_.size()) return end;
  }
}

TokenId Sampler::draw(const SamplingParams& params, double uniform) {
  const double temperature = std::max(params.temperature, kLeastTemperature);
  const TokenId best = argmax(logits_);
  const double most = logits_[static_cast<std::size_t>(best)];
  candidates_.assign(1, {logits_[static_cast<std::size_t>(best)], best});
  if (!std::isfinite(most)) return best;  // nothing to weigh: all minus, or one plus infinity
  candidates_.clear();
  weights_.resize(logits_.size());
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    const double weight = std::exp((logits_[i] - most) / temperature);  // of the best: 1
    weights_[i] = weight;
    if (weight > 0 && weight >= params.min_p) {
      candidates_.push_back({logits_[i], static_cast<TokenId>(i)});
    }
  }
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < candidates_.size()) {
    const auto kth = candidates_.begin() + params.top_k;
    std::partial_sort(candidates_.begin(), kth, candidates_.end(), ranks_before);
    candidates_.erase(kth, candidates_.end());
  }
  const auto mass_of = [&](double sum, const Candidate& c) {
    return sum + weights_[static_cast<std::size_t>(c.token)];
  };
  double mass = std::accumulate(candidates_.begin(), candidates_.end(), 0.0, mass_of);
  if (params.top_p < 1) {
    candidates_.resize(sorted_prefix_of_mass(params.top_p * mass));
    mass = std::accumulate(candidates_.begin(), candidates_.end(), 0.0, mass_of);
  }
  double left = uniform * mass;
  for (const Candidate& candidate : candidates_) {
    left -= weights_[static_cast<std::size_t>(candidate.token)];
    if (left < 0) return candidate.token;
  }
  return candidates_.back().token;  // rounding left a sliver
}

TokenLogprobs Sampler::score(std::span<const float> logits, TokenId token, std::int32_t top) {
  BITCPM_CHECK(logits.size() == logits_.size());
  take(logits);
  return report(token, {top, {}, false});
}

// Of logits_, as such or as log-softmax.
TokenLogprobs Sampler::report(TokenId token, const Wanted& wanted) {
  double log_sum = 0;
  if (!wanted.as_logits) {
    const float most = logits_[static_cast<std::size_t>(argmax(logits_))];
    double sum = 0;
    for (const float logit : logits_) sum += std::exp(static_cast<double>(logit) - most);
    log_sum = most + std::log(sum);
  }
  const auto entry = [&](TokenId id) {
    return TokenLogprobs::Entry{
        id, static_cast<float>(logits_[static_cast<std::size_t>(id)] - log_sum)};
  };
  TokenLogprobs report{entry(token), 1, {}};
  const Candidate chosen{logits_[static_cast<std::size_t>(token)], token};
  candidates_.clear();
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    candidates_.push_back({logits_[i], static_cast<TokenId>(i)});
    report.rank += ranks_before(candidates_.back(), chosen) ? 1 : 0;
  }
  for (const TokenId id : wanted.ids) report.top.push_back(entry(id));
  if (!wanted.ids.empty()) return report;
  const std::size_t count = wanted.top < 0
                                ? logits_.size()
                                : std::min(static_cast<std::size_t>(wanted.top), logits_.size());
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count),
                    candidates_.end(), ranks_before);
  for (std::size_t i = 0; i < count; ++i) report.top.push_back(entry(candidates_[i].token));
  return report;
}

}  // namespace bitcpm
