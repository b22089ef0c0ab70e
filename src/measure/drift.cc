#include "measure/drift.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "measure/logits_row.h"

namespace bitcpm {
namespace {

double mean(std::span<const double> values) {
  return values.empty() ? 0
                        : std::accumulate(values.begin(), values.end(), 0.0) /
                              static_cast<double>(values.size());
}

double share(std::size_t count, std::size_t of) {
  return of == 0 ? 0 : static_cast<double>(count) / static_cast<double>(of);
}

}  // namespace

void DriftMeter::add(std::span<const float> want, std::span<const float> got) {
  BITCPM_CHECK(!want.empty() && want.size() == got.size());
  const double got_lse = log_sum_exp(got);
  const double want_top = *std::max_element(want.begin(), want.end());
  double dot = 0, ww = 0, gg = 0, weights = 0, weighted = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double w = want[i];
    const double g = got[i];
    const double weight = std::exp(w - want_top);
    weights += weight;
    weighted += weight * ((w - want_top) - (g - got_lse));
    dot += w * g;
    ww += w * w;
    gg += g * g;
    squares_ += (w - g) * (w - g);
    largest_ = std::max(largest_, std::abs(w - g));
  }
  kls_.push_back(weighted / weights - std::log(weights));
  const bool no_angle = ww == 0 || gg == 0;  // a zero vector has no direction
  cosines_.push_back(no_angle ? (ww == gg ? 1 : 0) : dot / std::sqrt(ww * gg));
  const TopIds want_ids(want);
  const TopIds got_ids(got);
  same_top_ += want_ids.ids()[0] == got_ids.ids()[0] ? 1 : 0;
  same_top5_ += want_ids.shared_with(got_ids);
  top5_ += want_ids.ids().size();
  values_ += want.size();
}

double DriftMeter::mean_kl() const { return mean(kls_); }
double DriftMeter::mean_cosine() const { return mean(cosines_); }
double DriftMeter::least_cosine() const {
  return cosines_.empty() ? 1 : *std::min_element(cosines_.begin(), cosines_.end());
}
double DriftMeter::mean_square() const {
  return values_ == 0 ? 0 : squares_ / static_cast<double>(values_);
}
double DriftMeter::largest() const { return largest_; }
double DriftMeter::same_top() const { return share(same_top_, positions()); }
double DriftMeter::same_top5() const { return share(same_top5_, top5_); }

double log_probability(std::span<const float> logits, TokenId token) {
  return logits[static_cast<std::size_t>(token)] - log_sum_exp(logits);
}

}  // namespace bitcpm
