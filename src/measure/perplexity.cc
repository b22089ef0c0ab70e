#include "measure/perplexity.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/check.h"

namespace bitcpm {
namespace {

double mean_by_predictions(std::span<const WindowLoss> losses,
                           std::span<const std::size_t> chosen) {
  double loss = 0;
  double predictions = 0;
  for (const std::size_t i : chosen) {
    loss += losses[i].loss;
    predictions += static_cast<double>(losses[i].predictions);
  }
  return loss / predictions;
}

double mean_by_tokens(std::span<const WindowLoss> losses, std::span<const std::size_t> chosen) {
  double loss = 0;
  double tokens = 0;
  for (const std::size_t i : chosen) {
    const auto weight = static_cast<double>(losses[i].tokens);
    loss += weight * losses[i].loss / static_cast<double>(losses[i].predictions);
    tokens += weight;
  }
  return loss / tokens;
}

std::vector<std::size_t> every(std::size_t count) {
  std::vector<std::size_t> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = i;
  return all;
}

// The middle 95 % of what `statistic` makes of each draw.
template <class Statistic>
Interval bootstrap(std::size_t windows, const Statistic& statistic) {
  std::mt19937_64 rng(0);
  std::vector<std::size_t> chosen(windows);
  std::vector<double> outcomes(kResamples);
  for (double& outcome : outcomes) {
    for (std::size_t& index : chosen) index = rng() % windows;
    outcome = statistic(chosen);
  }
  std::sort(outcomes.begin(), outcomes.end());
  return {outcomes[kResamples / 40], outcomes[kResamples - 1 - kResamples / 40]};
}

}  // namespace

Perplexity perplexity_of(std::span<const WindowLoss> losses) {
  BITCPM_CHECK(!losses.empty());
  Perplexity result;
  result.windows = losses.size();
  for (const WindowLoss& loss : losses) {
    BITCPM_CHECK(loss.predictions > 0);
    result.tokens += loss.tokens;
    result.predictions += loss.predictions;
  }
  const auto by_predictions = [&](std::span<const std::size_t> chosen) {
    return std::exp(mean_by_predictions(losses, chosen));
  };
  const auto by_tokens = [&](std::span<const std::size_t> chosen) {
    return std::exp(mean_by_tokens(losses, chosen));
  };
  result.by_predictions = by_predictions(every(losses.size()));
  result.by_tokens = by_tokens(every(losses.size()));
  result.by_predictions_interval = bootstrap(losses.size(), by_predictions);
  result.by_tokens_interval = bootstrap(losses.size(), by_tokens);
  return result;
}

PerplexityChange perplexity_change(std::span<const WindowLoss> want,
                                   std::span<const WindowLoss> got) {
  BITCPM_CHECK(!want.empty() && want.size() == got.size());
  const auto change = [&](std::span<const std::size_t> chosen) {
    return std::exp(mean_by_predictions(got, chosen) - mean_by_predictions(want, chosen)) - 1;
  };
  return {change(every(want.size())), bootstrap(want.size(), change)};
}

}  // namespace bitcpm
