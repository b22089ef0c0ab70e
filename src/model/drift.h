#pragma once

#include <cstddef>
#include <span>

#include "base/types.h"

namespace bitcpm {

// How far one set of logits is from another, position by position; the measures of
// docs/numerics.md. The first of a pair is what the second is measured against.
class DriftMeter {
 public:
  // The logits of one position, of the same vocabulary.
  void add(std::span<const float> want, std::span<const float> got);
  // The same where `next`, the token that followed, is known: enters the perplexities as well.
  void add(std::span<const float> want, std::span<const float> got, TokenId next);

  std::size_t positions() const { return positions_; }
  double mean_kl() const;       // KL(want || got) of the next-token distributions, in nats
  double mean_cosine() const;   // of the logits as vectors
  double least_cosine() const;  // of any position
  double mean_square() const;   // squared difference per logit
  double largest() const;       // absolute difference of any logit
  double same_top() const;      // share of positions with the same most likely token
  double want_ppl() const;      // perplexities, over the positions with a next token
  double got_ppl() const;
  double ppl_change() const;  // got_ppl / want_ppl - 1

 private:
  std::size_t positions_ = 0, values_ = 0, same_top_ = 0, losses_ = 0;
  double kl_ = 0, cosine_ = 0, least_cosine_ = 1, squares_ = 0, largest_ = 0;
  double want_loss_ = 0, got_loss_ = 0;
};

// log-softmax of one position's logits at `token`, in f64.
double log_probability(std::span<const float> logits, TokenId token);

}  // namespace bitcpm
