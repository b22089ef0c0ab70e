#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitcpm {

// What one window of text cost a model.
struct WindowLoss {
  std::size_t tokens = 0;       // of the window
  std::size_t predictions = 0;  // scored ones; at least one
  double loss = 0;              // sum of their negative log-probabilities, in nats
};

// 95 % of the bootstrap's outcomes lie between these.
struct Interval {
  double low = 0;
  double high = 0;
};

// exp of the mean loss, weighted in two ways.
struct Perplexity {
  double by_predictions = 0;  // every prediction counts once: the standard
  double by_tokens = 0;       // mean loss per window, weighted by its N tokens: what a script does
                              // that multiplies Hugging Face's loss by the length
  Interval by_predictions_interval;
  Interval by_tokens_interval;
  std::size_t windows = 0, tokens = 0, predictions = 0;
};

inline constexpr int kResamples = 1000;

// The intervals come from kResamples draws of as many windows, with replacement, the same draws
// every time (Efron & Tibshirani 1993, percentile method). With one window they have no width.
Perplexity perplexity_of(std::span<const WindowLoss> losses);

// by_predictions of `got` over that of `want`, less 1, of the same windows; every draw takes the
// same windows of both, so that what is hard about a text cancels.
struct PerplexityChange {
  double change = 0;
  Interval interval;
};
PerplexityChange perplexity_change(std::span<const WindowLoss> want,
                                   std::span<const WindowLoss> got);

}  // namespace bitcpm
