#include "model/drift.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace bitcpm {
namespace {

double log_sum(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

std::ptrdiff_t top_of(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

double per(double sum, std::size_t count) {
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

}  // namespace

void DriftMeter::add(std::span<const float> want, std::span<const float> got) {
  BITCPM_CHECK(!want.empty() && want.size() == got.size());
  const double want_lse = log_sum(want);
  const double got_lse = log_sum(got);
  double dot = 0, ww = 0, gg = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double w = want[i];
    const double g = got[i];
    kl_ += std::exp(w - want_lse) * ((w - want_lse) - (g - got_lse));
    dot += w * g;
    ww += w * w;
    gg += g * g;
    squares_ += (w - g) * (w - g);
    largest_ = std::max(largest_, std::abs(w - g));
  }
  const double cosine = dot / std::sqrt(ww * gg);
  cosine_ += cosine;
  least_cosine_ = std::min(least_cosine_, cosine);
  same_top_ += top_of(want) == top_of(got) ? 1 : 0;
  values_ += want.size();
  ++positions_;
}

void DriftMeter::add(std::span<const float> want, std::span<const float> got, TokenId next) {
  add(want, got);
  want_loss_ -= log_probability(want, next);
  got_loss_ -= log_probability(got, next);
  ++losses_;
}

double DriftMeter::mean_kl() const { return per(kl_, positions_); }
double DriftMeter::mean_cosine() const { return per(cosine_, positions_); }
double DriftMeter::least_cosine() const { return least_cosine_; }
double DriftMeter::mean_square() const { return per(squares_, values_); }
double DriftMeter::largest() const { return largest_; }
double DriftMeter::same_top() const { return per(static_cast<double>(same_top_), positions_); }
double DriftMeter::want_ppl() const { return std::exp(per(want_loss_, losses_)); }
double DriftMeter::got_ppl() const { return std::exp(per(got_loss_, losses_)); }
double DriftMeter::ppl_change() const { return std::exp(per(got_loss_ - want_loss_, losses_)) - 1; }

double log_probability(std::span<const float> logits, TokenId token) {
  return logits[static_cast<std::size_t>(token)] - log_sum(logits);
}

}  // namespace bitcpm
