#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/types.h"

namespace bitcpm {

// How far one set of logits is from another, position by position; the measures of
// docs/accuracy.md, summed in f64. The first of a pair is what the second is measured against.
class DriftMeter {
 public:
  // The logits of one position, of the same vocabulary and finite.
  void add(std::span<const float> want, std::span<const float> got);

  std::size_t positions() const { return kls_.size(); }
  double mean_kl() const;       // KL(want || got) of the next-token distributions, in nats
  double mean_cosine() const;   // of the logits as vectors
  double least_cosine() const;  // of any position
  double mean_square() const;   // squared difference per logit
  double largest() const;       // absolute difference of any logit
  double same_top() const;      // share of positions with the same most likely token
  double same_top5() const;     // mean share of the five most likely tokens that both have

  // Of every position, in order.
  std::span<const double> kls() const { return kls_; }
  std::span<const double> cosines() const { return cosines_; }

 private:
  std::vector<double> kls_, cosines_;
  std::size_t values_ = 0, same_top_ = 0, same_top5_ = 0, top5_ = 0;
  double squares_ = 0, largest_ = 0;
};

// log-softmax of one position's logits at `token`, in f64.
double log_probability(std::span<const float> logits, TokenId token);

}  // namespace bitcpm
