#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/types.h"

namespace bitcpm {

struct TokenLogprob {
  static constexpr TokenId kUnknown = -1;  // a spelling that names no token here, or several

  TokenId token = kUnknown;
  double logprob = 0;
};

// How far somebody's next-token distributions are from logits here, of which only the most likely
// tokens are known: the measures of DriftMeter as far as those allow (docs/accuracy.md). What the
// logits want, those tokens got.
class TopDrift {
 public:
  // One position. got: distinct tokens, most likely first; nothing if empty.
  void add(std::span<const float> want, std::span<const TokenLogprob> got);

  std::size_t positions() const { return kls_.size(); }
  // KL(want || got) of the distributions with all tokens that are not in `got` as one outcome, in
  // nats: by the log-sum inequality at most the KL of the whole ones. The mean over positions.
  double mean_kl_bound() const;
  std::span<const double> kl_bounds() const { return kls_; }
  double mean_abs() const;  // of the differences of the log-probabilities of tokens in `got`
  double max_abs() const { return max_abs_; }

  // Of the positions whose first token, or whose five first, are known; of none: NaN.
  double same_top() const;
  double same_top5() const;
  std::size_t top_positions() const { return tops_; }
  std::size_t top5_positions() const { return top5s_; }

 private:
  std::vector<double> kls_;
  std::size_t tops_ = 0, same_top_ = 0, top5s_ = 0, shared_top5_ = 0, values_ = 0;
  double abs_sum_ = 0, max_abs_ = 0;
};

}  // namespace bitcpm
