#include "measure/top_drift.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "measure/logits_row.h"

namespace bitcpm {
namespace {

// What is left of 1 beside the known tokens is uncertain by this much: an f32 log-probability is
// good to about 6e-8 of its probability. A rest that is taken too large only lowers the bound.
constexpr double kLeastRest = 1e-6;

double share(std::size_t count, std::size_t of) {
  return of == 0 ? std::numeric_limits<double>::quiet_NaN()
                 : static_cast<double>(count) / static_cast<double>(of);
}

bool is_known(const TokenLogprob& entry) { return entry.token != TokenLogprob::kUnknown; }

}  // namespace

void TopDrift::add(std::span<const float> want, std::span<const TokenLogprob> got) {
  if (got.empty()) return;
  const double lse = log_sum_exp(want);
  double kl = 0, want_known = 0, got_known = 0;
  for (const TokenLogprob& entry : got) {
    if (!is_known(entry)) continue;
    const double logprob = want[static_cast<std::size_t>(entry.token)] - lse;
    const double difference = std::abs(logprob - entry.logprob);
    kl += std::exp(logprob) * (logprob - entry.logprob);
    want_known += std::exp(logprob);
    got_known += std::exp(entry.logprob);
    abs_sum_ += difference;
    max_abs_ = std::max(max_abs_, difference);
    ++values_;
  }
  const double want_rest = std::max(1 - want_known, 0.0);
  const double got_rest = std::max(1 - got_known, kLeastRest);
  if (want_rest > 0) kl += want_rest * std::log(want_rest / got_rest);
  kls_.push_back(std::max(kl, 0.0));
  const TopIds ids(want);
  if (is_known(got.front())) {
    ++tops_;
    same_top_ += static_cast<std::size_t>(got.front().token) == ids.ids()[0] ? 1 : 0;
  }
  const std::size_t five = ids.ids().size();
  if (got.size() >= five && std::all_of(got.begin(), got.begin() + five, is_known)) {
    ++top5s_;
    for (const TokenLogprob& entry : got.first(five)) {
      shared_top5_ += ids.has(static_cast<std::size_t>(entry.token)) ? 1 : 0;
    }
  }
}

double TopDrift::mean_kl_bound() const {
  return kls_.empty()
             ? 0
             : std::accumulate(kls_.begin(), kls_.end(), 0.0) / static_cast<double>(kls_.size());
}

double TopDrift::mean_abs() const {
  return values_ == 0 ? 0 : abs_sum_ / static_cast<double>(values_);
}

double TopDrift::same_top() const { return share(same_top_, tops_); }
double TopDrift::same_top5() const { return share(shared_top5_, TopIds::kMost * top5s_); }

}  // namespace bitcpm
