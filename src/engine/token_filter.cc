#include "engine/token_filter.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"

namespace bitcpm {
namespace {

using Candidate = TokenFilter::Candidate;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kNoBound = std::numeric_limits<float>::quiet_NaN();
constexpr int kMostRounds = 10;  // of narrowing; by then only equal logits are left
constexpr std::size_t kFewToSort = 32;
constexpr std::size_t kFewToGather = 512;  // another pass costs about as much as 1,000 candidates

// How far below the largest logit the first two passes look, in temperatures: most nuclei end
// within the first few, and no weight is left beyond 87.
constexpr std::array<float, LogitsScan::kProbes> kFirstSteps[] = {{1, 3, 7, 15},
                                                                  {31, 87, 1023, 8191}};

// Moves the candidates that rank first to the front, as many as it takes until their number, or
// their weight, comes to `goal`; how many. Halves the part in question instead of sorting it.
std::size_t select_first(std::span<Candidate> candidates, double goal, bool by_weight) {
  const auto measure = [&](const Candidate& candidate) {
    return by_weight ? static_cast<double>(candidate.weight) : 1.0;
  };
  std::size_t begin = 0;
  std::size_t end = candidates.size();
  const auto at = [&](std::size_t i) {
    return candidates.begin() + static_cast<std::ptrdiff_t>(i);
  };
  while (end - begin > kFewToSort) {
    const std::size_t middle = begin + (end - begin) / 2;
    std::nth_element(at(begin), at(middle), at(end), TokenFilter::ranks_before);
    double sum = 0;
    for (std::size_t i = begin; i < middle; ++i) sum += measure(candidates[i]);
    if (sum >= goal) {
      end = middle;
    } else {
      goal -= sum;
      begin = middle;
    }
  }
  std::sort(at(begin), at(end), TokenFilter::ranks_before);
  for (; begin < end; ++begin) {
    goal -= measure(candidates[begin]);
    if (goal <= 0) return begin + 1;
  }
  return end;
}

double log_odds(double part, double whole) {
  const double share = std::clamp(part / whole, 1e-9, 1 - 1e-6);
  return std::log(share / (1 - share));
}

bool by_token(const Candidate& a, const Candidate& b) { return a.token < b.token; }

}  // namespace

// Where the last kept logit lies: what is at least `low` reaches the goal, what is at least `high`
// does not.
struct TokenFilter::Bracket {
  float low, high;
  std::size_t count_low, count_high;
  double mass_low, mass_high;
  bool all = false;  // not even what is at least `low` reaches the goal
};

double TokenFilter::measured(std::size_t count, double mass, Measure measure) {
  return measure == Measure::kCount ? static_cast<double>(count) : mass;
}

TokenFilter::TokenFilter(const LogitsScan& scan, std::size_t vocab_size)
    : scan_(scan),
      weights_(LogitsScan::padded(vocab_size)),
      sums_(LogitsScan::blocks(vocab_size)),
      indices_(vocab_size) {
  candidates_.reserve(kMostListed);
  gathered_.reserve(2 * LogitsScan::padded(kMostListed));
  gathered_sums_.reserve(LogitsScan::blocks(kMostListed));
  ranked_maxima_.reserve(sums_.size());
}

void TokenFilter::start(std::span<const float> logits, std::span<const float> maxima,
                        float temperature) {
  BITCPM_CHECK(logits.size() == indices_.size() && maxima.size() == sums_.size());
  logits_ = logits;
  maxima_ = maxima;
  largest_ = *std::max_element(maxima.begin(), maxima.end());
  BITCPM_CHECK(std::isfinite(largest_) && temperature > 0);
  temperature_ = temperature;
  threshold_ = kLowest;
  excluded_.clear();
  weighed_ = false;
  listed_ = false;
}

void TokenFilter::weigh() {
  if (weighed_) return;
  scan_.weigh(logits_, largest_, 1 / temperature_, weights_, sums_);
  for (const TokenId token : excluded_) weights_[static_cast<std::size_t>(token)] = 0;
  weighed_ = true;
}

void TokenFilter::keep_min_p(float min_p) {
  BITCPM_CHECK(!listed_ && threshold_ == kLowest);
  const double least = largest_ + temperature_ * std::log(static_cast<double>(min_p));
  threshold_ = std::max(kLowest, static_cast<float>(least));
}

void TokenFilter::keep_top_k(std::size_t top_k) {
  if (!listed_) (void)list_first(top_k);
  total_ = static_cast<double>(logits_.size());
  keep_first(static_cast<double>(top_k), Measure::kCount);
}

void TokenFilter::keep_top_p(double top_p) {
  total_ = kept_mass();
  keep_first(top_p * total_, Measure::kMass);
}

double TokenFilter::kept_mass() {
  double mass = 0;
  if (listed_) {
    for (const Candidate& candidate : candidates_) mass += candidate.weight;
    return mass;
  }
  weigh();
  // A row without any filter has its sums from weigh().
  if (threshold_ > kLowest) scan_.sums_at_least(logits_, weights_, threshold_, sums_);
  for (const float sum : sums_) mass += sum;
  return mass;
}

void TokenFilter::keep_first(double goal, Measure measure) {
  if (!listed_) {
    if (measure == Measure::kMass) weigh();  // else the probes' masses mean nothing
    Bracket bracket{threshold_, std::nextafter(largest_, -kMinusInfinity), logits_.size(), 0, 0, 0};
    narrow(bracket, goal, measure);
    if (bracket.count_low > kMostListed) {
      if (!bracket.all) cut_between(bracket, goal, measure);
      return;
    }
    make_list(bracket.low);
  }
  candidates_.resize(select_first(candidates_, goal, measure == Measure::kMass));
  std::sort(candidates_.begin(), candidates_.end(), by_token);
}

void TokenFilter::narrow(Bracket& bracket, double goal, Measure measure) {
  for (int round = 0; round < kMostRounds; ++round) {
    if (bracket.count_low <= kMostListed ||
        bracket.count_low - bracket.count_high <= kFewToGather) {
      return;
    }
    if (!place_probes(bracket, goal, measure, round)) return;
    scan_.probe(logits_, weights_, probes_);
    for (const LogitsProbe& probe : probes_) {  // descending thresholds
      const double reached = measured(probe.count, probe.mass, measure);
      if (reached >= goal || probe.threshold == bracket.low) {
        bracket.all = reached < goal;
        bracket.low = probe.threshold;
        bracket.count_low = probe.count;
        bracket.mass_low = probe.mass;
        if (bracket.all) return;
        break;
      }
      bracket.high = probe.threshold;
      bracket.count_high = probe.count;
      bracket.mass_high = probe.mass;
    }
  }
}

// False if the bracket cannot be divided. Probes at its ends repeat what is known, harmlessly.
// After the first looks, they lie around where the goal would be reached if what lies above a
// threshold were a logistic curve: two so near that few logits are left between them, two further
// off.
bool TokenFilter::place_probes(const Bracket& bracket, double goal, Measure measure, int round) {
  if (round == 0 || (round == 1 && bracket.low == kLowest)) {
    for (std::size_t i = 0; i < LogitsScan::kProbes; ++i) {
      const float at = largest_ - temperature_ * kFirstSteps[round][i];
      probes_[i].threshold = std::clamp(at, bracket.low, bracket.high);
    }
    // What the row keeps at all becomes known in the first pass that can tell.
    if (round == 1 || bracket.low > kLowest) probes_.back().threshold = bracket.low;
    return true;
  }
  const double low = bracket.low;
  const double width = static_cast<double>(bracket.high) - low;
  std::array<double, LogitsScan::kProbes> at;
  if (round % 3 == 0) {  // lest a curve of any other shape take long
    for (std::size_t i = 0; i < at.size(); ++i) {
      at[i] = low + width * static_cast<double>(at.size() - i) / static_cast<double>(at.size() + 1);
    }
  } else {
    const auto odds = [&](std::size_t count, double mass) {
      return log_odds(measured(count, mass, measure), total_);
    };
    const double at_low = odds(bracket.count_low, bracket.mass_low);
    const double at_high = odds(bracket.count_high, bracket.mass_high);
    const double share =
        at_low > at_high ? (at_low - log_odds(goal, total_)) / (at_low - at_high) : 0.5;
    const double middle = low + width * share;
    const double near =
        width * (0.45 * kFewToGather) /
        static_cast<double>(std::max<std::size_t>(bracket.count_low - bracket.count_high, 1));
    const double far = std::max(width / 12, 2 * near);
    at = {middle + far, middle + near, middle - near, middle - far};
  }
  bool divides = false;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const auto threshold = static_cast<float>(at[i]);
    probes_[i].threshold = std::clamp(threshold, bracket.low, bracket.high);
    divides |= threshold > bracket.low && threshold < bracket.high;
  }
  return divides;
}

// Too many are kept for a list: looks at those between the ends of the bracket only.
void TokenFilter::cut_between(const Bracket& bracket, double goal, Measure measure) {
  fill_candidates(scan_.gather(logits_, bracket.low, bracket.high, indices_));
  const double above = measured(bracket.count_high, bracket.mass_high, measure);
  const std::size_t kept = select_first(candidates_, goal - above, measure == Measure::kMass);
  if (kept == 0) return;
  threshold_ = candidates_[0].logit;
  for (std::size_t i = 1; i < kept; ++i) threshold_ = std::min(threshold_, candidates_[i].logit);
  for (std::size_t i = kept; i < candidates_.size(); ++i) {
    if (candidates_[i].logit != threshold_) continue;
    excluded_.push_back(candidates_[i].token);
    weights_[static_cast<std::size_t>(candidates_[i].token)] = 0;
  }
  if (bracket.count_high + kept <= kMostListed) make_list(threshold_);
}

// The top_k-th largest of the blocks' maxima has top_k logits above or beside it, and seldom many
// more. False if there are too few blocks, or too many such logits for a list.
bool TokenFilter::list_first(std::size_t top_k) {
  if (top_k > maxima_.size()) return false;
  ranked_maxima_.assign(maxima_.begin(), maxima_.end());
  const auto kth = ranked_maxima_.begin() + static_cast<std::ptrdiff_t>(top_k) - 1;
  std::nth_element(ranked_maxima_.begin(), kth, ranked_maxima_.end(), std::greater<>());
  const auto room = std::span(indices_).first(std::min(indices_.size(), kMostListed + 1));
  const std::size_t count = scan_.gather(logits_, std::max(*kth, threshold_), kNoBound, room);
  if (count > kMostListed) return false;
  list_indices(count);
  return true;
}

// All that is kept and has a logit of at least `least`, by ascending id.
void TokenFilter::make_list(float least) {
  list_indices(scan_.gather(logits_, least, kNoBound, indices_));
}

void TokenFilter::list_indices(std::size_t count) {
  fill_candidates(count);
  std::sort(excluded_.begin(), excluded_.end());
  std::erase_if(candidates_, [&](const Candidate& candidate) {
    return std::binary_search(excluded_.begin(), excluded_.end(), candidate.token);
  });
  listed_ = true;
}

// The candidates of the first `count` of indices_, weighed as weigh() would.
void TokenFilter::fill_candidates(std::size_t count) {
  gathered_.resize(2 * LogitsScan::padded(count));
  const std::span<float> weights = std::span(gathered_).subspan(LogitsScan::padded(count));
  for (std::size_t i = 0; i < count; ++i) {
    gathered_[i] = logits_[static_cast<std::size_t>(indices_[i])];
  }
  gathered_sums_.resize(LogitsScan::blocks(count));
  scan_.weigh(std::span(gathered_).first(count), largest_, 1 / temperature_, weights,
              gathered_sums_);
  candidates_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    candidates_.push_back({gathered_[i], weights[i], indices_[i]});
  }
}

TokenId TokenFilter::draw(double uniform) {
  double left = uniform * kept_mass();
  if (listed_) {
    for (const Candidate& candidate : candidates_) {
      left -= candidate.weight;
      if (left < 0) return candidate.token;
    }
    return candidates_.back().token;  // rounding left a sliver
  }
  std::size_t block = 0;
  while (block + 1 < sums_.size() && left >= sums_[block]) left -= sums_[block++];
  const std::size_t end = std::min((block + 1) * LogitsScan::kBlock, logits_.size());
  std::size_t last = logits_.size();
  for (std::size_t i = block * LogitsScan::kBlock; i < end; ++i) {
    if (!(logits_[i] >= threshold_) || weights_[i] == 0) continue;
    last = i;
    left -= weights_[i];
    if (left < 0) break;
  }
  if (last < logits_.size()) return static_cast<TokenId>(last);
  // Only a sliver of rounding leads into a block that keeps nothing: then the best token it is.
  scan_.gather(logits_, largest_, kNoBound, std::span(indices_).first(1));
  return indices_[0];
}

std::span<const Candidate> TokenFilter::list() {
  if (!listed_) make_list(threshold_);
  return candidates_;
}

void TokenFilter::write_kept(std::span<float> out) const {
  if (listed_) {
    std::fill(out.begin(), out.end(), kMinusInfinity);
    for (const Candidate& candidate : candidates_) {
      out[static_cast<std::size_t>(candidate.token)] = candidate.logit / temperature_;
    }
    return;
  }
  std::transform(logits_.begin(), logits_.end(), out.begin(), [&](float logit) {
    return logit >= threshold_ ? logit / temperature_ : kMinusInfinity;
  });
  for (const TokenId token : excluded_) out[static_cast<std::size_t>(token)] = kMinusInfinity;
}

}  // namespace bitcpm
