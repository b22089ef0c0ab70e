#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/mix64.h"

namespace bitcpm {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNoBound = std::numeric_limits<float>::quiet_NaN();
constexpr float kGreedyBelow = 1e-5f;       // vLLM's _SAMPLING_EPS
constexpr float kLeastTemperature = 1e-2f;  // vLLM's _MAX_TEMP: below it logits / T may overflow

}  // namespace

double uniform_draw(std::uint64_t seed, std::uint64_t position) {
  return unit_interval(mix64(mix64(seed + kMixStep) ^ mix64((position + 1) * kMixStep)));
}

std::int32_t deciding_logits(const Sequence& sequence) {
  const SamplingParams& params = sequence.params;
  if (adjusts_logits(sequence) || params.wants_logprobs()) return 0;
  if (params.temperature < kGreedyBelow) return 1;
  return std::max(params.top_k, 0);
}

Sampler::Sampler(const LogitsScan& scan, std::int32_t vocab_size,
                 std::vector<TokenId> eos_token_ids, LogprobsMode mode)
    : scan_(scan),
      mode_(mode),
      processors_(std::move(eos_token_ids)),
      filter_(scan, static_cast<std::size_t>(vocab_size)),
      logits_(static_cast<std::size_t>(vocab_size)),
      maxima_(LogitsScan::blocks(logits_.size())),
      weights_(LogitsScan::padded(logits_.size())),
      sums_(LogitsScan::blocks(logits_.size())) {}

Sampler::Sample Sampler::sample(std::span<const float> raw, Sequence& sequence) {
  BITCPM_CHECK(raw.size() == logits_.size());
  std::span<const float> logits = raw;
  if (adjusts_logits(sequence)) {
    std::copy(raw.begin(), raw.end(), logits_.begin());
    processors_.apply(logits_, sequence);
    logits = logits_;
  }
  const SamplingParams& params = sequence.params;
  const float largest = scan(logits);
  // Nothing to weigh: all minus infinity, or one plus infinity.
  const bool greedy = params.temperature < kGreedyBelow || !std::isfinite(largest);
  Sample sample;
  if (greedy) {
    sample.token = first_largest(logits, largest);
  } else {
    filter(logits, params);
    sample.token =
        filter_.draw(uniform_draw(params.seed, static_cast<std::uint64_t>(sequence.length())));
  }
  if (!params.wants_logprobs()) return sample;
  const bool is_raw = mode_ == LogprobsMode::kRawLogprobs || mode_ == LogprobsMode::kRawLogits;
  std::span<const float> reported = is_raw ? raw : logits;
  if (!is_raw && !greedy) {
    kept_.resize(logits_.size());
    filter_.write_kept(kept_);
    reported = kept_;
  }
  const bool as_logits =
      mode_ == LogprobsMode::kRawLogits || mode_ == LogprobsMode::kProcessedLogits;
  const bool is_scanned = reported.data() == logits.data();
  sample.logprobs = report(reported, is_scanned ? largest : scan(reported), sample.token,
                           {params.logprobs.value_or(0), params.logprob_token_ids, as_logits});
  return sample;
}

// Finds the maxima of a row's blocks; the largest.
float Sampler::scan(std::span<const float> logits) {
  scan_.maxima(logits, maxima_);
  return *std::max_element(maxima_.begin(), maxima_.end());
}

// The first token whose logit is `largest`, as scan() found it; 0 if there is none.
TokenId Sampler::first_largest(std::span<const float> logits, float largest) {
  const auto block = std::find(maxima_.begin(), maxima_.end(), largest) - maxima_.begin();
  // A block without any number has minus infinity for a maximum too.
  const std::size_t begin =
      largest == kMinusInfinity ? 0 : static_cast<std::size_t>(block) * LogitsScan::kBlock;
  std::int32_t index = 0;
  return scan_.gather(logits.subspan(begin), largest, kNoBound, {&index, 1}) == 1
             ? static_cast<TokenId>(begin) + index
             : 0;
}

void Sampler::filter(std::span<const float> logits, const SamplingParams& params) {
  filter_.start(logits, maxima_, std::max(params.temperature, kLeastTemperature));
  if (params.min_p > 0) filter_.keep_min_p(params.min_p);
  if (params.top_k > 0) filter_.keep_top_k(static_cast<std::size_t>(params.top_k));
  if (params.top_p < 1) filter_.keep_top_p(params.top_p);
}

TokenLogprobs Sampler::score(std::span<const float> logits, TokenId token, std::int32_t top) {
  BITCPM_CHECK(logits.size() == logits_.size());
  return report(logits, scan(logits), token, {top, {}, false});
}

// largest: as scan() found it in these logits, last of all
TokenLogprobs Sampler::report(std::span<const float> logits, float largest, TokenId token,
                              const Wanted& wanted) {
  double log_sum = 0;
  if (!wanted.as_logits && std::isfinite(largest)) {
    scan_.weigh(logits, largest, 1, weights_, sums_);
    log_sum = largest + std::log(std::accumulate(sums_.begin(), sums_.end(), 0.0));
  }
  const auto value = [&](TokenId id) {  // a NaN counts as minus infinity
    const float logit = logits[static_cast<std::size_t>(id)];
    return std::isnan(logit) ? kMinusInfinity : logit;
  };
  const auto entry = [&](TokenId id) -> TokenLogprobs::Entry {
    if (wanted.as_logits || std::isfinite(largest)) {
      return {id, static_cast<float>(value(id) - log_sum)};
    }
    return {id, value(id) == kInfinity ? 0 : kMinusInfinity};
  };
  TokenLogprobs report{entry(token), rank_of(logits, token, value(token)), {}};
  for (const TokenId id : wanted.ids) report.top.push_back(entry(id));
  if (!wanted.ids.empty()) return report;
  for (const TokenId id : top_of(logits, largest, wanted.top)) report.top.push_back(entry(id));
  return report;
}

// 1 + how many are larger, or equal with a lower id.
std::int32_t Sampler::rank_of(std::span<const float> logits, TokenId token, float value) const {
  const auto at = static_cast<std::size_t>(token);
  const std::size_t before = scan_.count(logits.first(at), value);
  const std::size_t after =
      value == kInfinity ? 0
                         : scan_.count(logits.subspan(at + 1), std::nextafter(value, kInfinity));
  return static_cast<std::int32_t>(1 + before + after);
}

// The `top` most likely tokens, most likely first; -1: all.
std::span<const TokenId> Sampler::top_of(std::span<const float> logits, float largest,
                                         std::int32_t top) {
  ranked_.clear();
  if (top == 0) return ranked_;
  const std::size_t count =
      top < 0 ? logits.size() : std::min(static_cast<std::size_t>(top), logits.size());
  const auto as_value = [](float logit) { return std::isnan(logit) ? kMinusInfinity : logit; };
  const auto ranks_before = [&](TokenId a, TokenId b) {
    const float x = as_value(logits[static_cast<std::size_t>(a)]);
    const float y = as_value(logits[static_cast<std::size_t>(b)]);
    return x != y ? x > y : a < b;
  };
  if (count <= TokenFilter::kMostListed && std::isfinite(largest)) {
    filter_.start(logits, maxima_, 1);
    filter_.keep_top_k(count);
    for (const TokenFilter::Candidate& candidate : filter_.list())
      ranked_.push_back(candidate.token);
    if (ranked_.size() == count) {
      std::sort(ranked_.begin(), ranked_.end(), ranks_before);
      return ranked_;
    }
  }
  ranked_.resize(logits.size());
  std::iota(ranked_.begin(), ranked_.end(), 0);
  std::partial_sort(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(count),
                    ranked_.end(), ranks_before);
  return std::span(ranked_).first(count);
}

}  // namespace bitcpm
