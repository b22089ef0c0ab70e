#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench_report.h"
#include "console.h"
#include "endpoint_scores.h"
#include "eval_runs.h"
#include "measure/top_drift.h"

namespace bitcpm {
namespace {

using TokenLosses = std::vector<std::vector<double>>;  // log-probabilities, per window

std::vector<WindowLoss> window_losses(const TokenLosses& all, std::span<const EvalWindow> windows) {
  std::vector<WindowLoss> losses;
  for (std::size_t i = 0; i < all.size(); ++i) {
    double sum = 0;
    for (const double logprob : all[i]) sum -= logprob;
    losses.push_back({.tokens = windows[i].first_scored + all[i].size(),
                      .predictions = all[i].size(),
                      .loss = sum});
  }
  return losses;
}

TokenLosses losses_of(std::span<const EchoScores> scores) {
  TokenLosses all;
  for (const EchoScores& window : scores) all.push_back(window.logprobs);
  return all;
}

// How far the server is from a side here.
struct Distance {
  Perplexity here;
  PerplexityChange change;
  double mean_abs = 0;  // of the log-probability of a token of the text
  double max_abs = 0;
  TopDrift tops;
  GreedyComparison greedy;
};

// Goes through the side's logits once: the log-probabilities of the text's tokens, and the distance
// of the most likely ones.
Result<TokenLosses> score_here(LogitsSource& source, std::span<const EvalWindow> windows,
                               std::span<const EchoScores> there, TopDrift& drift) {
  TokenLosses all;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const EvalWindow& window = windows[w];
    BITCPM_TRY(source.begin(window));
    std::vector<double>& logprobs = all.emplace_back();
    const auto total = static_cast<std::int32_t>(window.rows());
    for (std::int32_t first = 0; first < total; first += Model::kMaxLogitsRows) {
      BITCPM_ASSIGN(const TensorView rows,
                    source.rows(first, std::min(Model::kMaxLogitsRows, total - first)));
      for (std::int64_t i = 0; i < rows.rows; ++i) {
        const std::span<const float> logits(rows.row(i), static_cast<std::size_t>(rows.cols));
        const auto at = static_cast<std::size_t>(first + i);
        if (at < there[w].tops.size()) drift.add(logits, there[w].tops[at]);
        if (at < window.predictions()) {
          logprobs.push_back(log_probability(logits, window.ids[window.first_scored + at]));
        }
      }
    }
  }
  return all;
}

Result<Distance> measure_distance(const EvalOptions& options, const Endpoint& endpoint,
                                  EvalSide& side, std::span<const EvalWindow> windows,
                                  std::span<const EchoScores> scores, const Tokenizer& tokenizer) {
  Distance distance;
  BITCPM_ASSIGN(const std::vector<GreedyText> greedy, side_greedy(side, windows, options));
  BITCPM_ASSIGN(distance.greedy, ask_greedy(endpoint, windows, greedy, tokenizer));
  BITCPM_ASSIGN(LogitsSource * source, side.source(longest_window(windows)));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i].logprobs.size() == windows[i].predictions()) continue;
    return Error{Errc::kInvalid, fmt::format("text {}: the server scores {} tokens, {} are here", i,
                                             scores[i].logprobs.size(), windows[i].predictions())};
  }
  if (source->vocab_size() < tokenizer.vocab_size()) {
    return Error{Errc::kInvalid, fmt::format("the tokenizer has {} tokens, the side {} logits",
                                             tokenizer.vocab_size(), source->vocab_size())};
  }
  BITCPM_ASSIGN(const TokenLosses here, score_here(*source, windows, scores, distance.tops));
  const auto here_losses = window_losses(here, windows);
  distance.here = perplexity_of(here_losses);
  distance.change = perplexity_change(here_losses, window_losses(losses_of(scores), windows));
  double sum = 0, count = 0;
  for (std::size_t w = 0; w < here.size(); ++w) {
    for (std::size_t i = 0; i < here[w].size(); ++i) {
      const double difference = std::abs(here[w][i] - scores[w].logprobs[i]);
      sum += difference;
      distance.max_abs = std::max(distance.max_abs, difference);
      ++count;
    }
  }
  distance.mean_abs = sum / count;
  return distance;
}

double value_of(Bound bound, const Distance& distance) {
  switch (bound) {
    case Bound::kMaxKl:
      return distance.tops.mean_kl_bound();
    case Bound::kMaxPplChange:
      return std::abs(distance.change.change);
    case Bound::kMinTop1:
      return distance.tops.same_top();
    case Bound::kMinTop5:
      return distance.tops.same_top5();
    default:
      return NAN;  // has no flag here
  }
}

std::string share_text(double share, std::size_t positions) {
  if (positions == 0) return "not to be told from what the server returns";
  return fmt::format("{} of {} positions", percent_text(share),
                     with_commas(static_cast<std::int64_t>(positions)));
}

std::string perplexity_text(double value, const Interval& interval) {
  return fmt::format("{:.4f} (95 % interval {:.2f} to {:.2f})", value, interval.low, interval.high);
}

void add_distance_rows(const Distance& distance, const Endpoint& endpoint,
                       std::vector<TableRow>& rows) {
  const TopDrift& tops = distance.tops;
  rows.push_back(
      {"perplexity against", fmt::format("{:.4f}, weighted by tokens {:.4f}",
                                         distance.here.by_predictions, distance.here.by_tokens)});
  rows.push_back(
      {"change",
       fmt::format("{:+.4f} % (95 % interval {:+.4f} to {:+.4f} %)", 100 * distance.change.change,
                   100 * distance.change.interval.low, 100 * distance.change.interval.high)});
  rows.push_back({fmt::format("KL, at least (from the top {})", endpoint.top_logprobs),
                  tops.positions() == 0 ? "the server returns no top_logprobs"
                                        : fmt::format("{:.3e}", tops.mean_kl_bound())});
  rows.push_back(
      {"log-probability of the text, mean difference", fmt::format("{:.3e}", distance.mean_abs)});
  rows.push_back({"largest", fmt::format("{:.3e}", distance.max_abs)});
  rows.push_back(
      {"log-probability of the top, mean difference", fmt::format("{:.3e}", tops.mean_abs())});
  rows.push_back({"largest", fmt::format("{:.3e}", tops.max_abs())});
  rows.push_back({"same top-1", share_text(tops.same_top(), tops.top_positions())});
  rows.push_back({"common top-5", share_text(tops.same_top5(), tops.top5_positions())});
  rows.push_back({"greedy texts", describe_greedy(distance.greedy)});
}

std::string endpoint_text(const EvalOptions& options, const Endpoint& endpoint,
                          const Perplexity& ppl, const std::optional<Distance>& distance,
                          const EvalSide* side) {
  std::vector<TableRow> rows = {
      {"perplexity, every prediction once",
       perplexity_text(ppl.by_predictions, ppl.by_predictions_interval)},
      {"perplexity, weighted by tokens", perplexity_text(ppl.by_tokens, ppl.by_tokens_interval)}};
  std::string head =
      fmt::format("endpoint: {} at {}\n{}\n{} texts, {} predictions\n", visible(endpoint.model),
                  endpoint.base.text(), describe_text(options.text), ppl.windows,
                  with_commas(static_cast<std::int64_t>(ppl.predictions)));
  if (distance) {
    head += "against: " + side->description() + "\n";
    add_distance_rows(*distance, endpoint, rows);
  }
  return head + "\n" + format_table(rows, 2);
}

json::value number_or_null(double value) {
  return std::isfinite(value) ? json::value(value) : json::value();
}

json::object distance_json(const Endpoint& endpoint, const Distance& distance,
                           const EvalSide& side) {
  json::object against = side.description_json();
  for (auto& entry : perplexity_json(distance.here)) against[entry.key()] = entry.value();
  against["perplexity_change"] = distance.change.change;
  against["perplexity_change_interval"] =
      json::array{distance.change.interval.low, distance.change.interval.high};
  against["logprob_mean_abs"] = distance.mean_abs;
  against["logprob_max_abs"] = distance.max_abs;
  const TopDrift& tops = distance.tops;
  against["top_logprobs"] = endpoint.top_logprobs;
  against["positions"] = tops.positions();
  against["mean_kl_lower_bound"] = number_or_null(tops.positions() ? tops.mean_kl_bound() : NAN);
  against["kl_lower_bound_quantiles"] = quantiles_json(tops.kl_bounds());
  against["top_logprob_mean_abs"] = tops.mean_abs();
  against["top_logprob_max_abs"] = tops.max_abs();
  against["same_top1_share"] = number_or_null(tops.same_top());
  against["same_top1_positions"] = tops.top_positions();
  against["common_top5_share"] = number_or_null(tops.same_top5());
  against["common_top5_positions"] = tops.top5_positions();
  against["greedy"] = greedy_json(distance.greedy);
  return against;
}

json::object endpoint_json(const EvalOptions& options, const Endpoint& endpoint,
                           std::span<const WindowLoss> losses,
                           const std::optional<Distance>& distance, const EvalSide* side,
                           std::span<const CheckedBound> checked) {
  json::object object{{"command", "endpoint"},
                      {"base_url", endpoint.base.text()},
                      {"model", endpoint.model},
                      {"text", text_json(options.text)}};
  for (auto& entry : perplexity_json(perplexity_of(losses))) object[entry.key()] = entry.value();
  object["losses"] = losses_json(losses);
  if (distance) {
    object["against"] = distance_json(endpoint, *distance, *side);
    object["bounds"] = bounds_json(checked);
  }
  return object;
}

Result<Endpoint> open_endpoint(const EvalOptions& options) {
  Endpoint endpoint;
  BITCPM_ASSIGN(endpoint.base, endpoint_base(options.endpoint));
  endpoint.api_key = endpoint_key(options.endpoint);
  endpoint.send_text = options.send_text;
  endpoint.top_logprobs = static_cast<int>(options.top_logprobs.value_or(endpoint.top_logprobs));
  BITCPM_ASSIGN(endpoint.model, served_model(endpoint.base, options.endpoint));
  return endpoint;
}

Result<std::optional<EvalSide>> open_side(const EvalOptions& options) {
  if (options.a.empty()) {
    const auto is_given = [](const auto& limit) { return limit.has_value(); };
    if (std::any_of(options.bounds.begin(), options.bounds.end(), is_given)) {
      return Error{Errc::kInvalid, "a bound needs a side to be measured --against"};
    }
    return std::optional<EvalSide>();
  }
  BITCPM_ASSIGN(const SideSpec spec, parse_side(options.a, options.model));
  if (!spec.run_file.empty() && options.send_text) {
    return Error{Errc::kInvalid, "a saved run has ids; --send-text cannot be compared with it"};
  }
  BITCPM_ASSIGN(EvalSide side, EvalSide::open(spec));
  return std::optional<EvalSide>(std::move(side));
}

}  // namespace

Result<ExitCode> eval_endpoint(const EvalOptions& options) {
  BITCPM_ASSIGN(const Endpoint endpoint, open_endpoint(options));
  BITCPM_ASSIGN(std::optional<EvalSide> side, open_side(options));
  ModelOptions tokens;
  tokens.model = options.tokenizer;
  BITCPM_ASSIGN(ModelFiles files, open_model_files(tokens));
  BITCPM_ASSIGN(const Tokenizer tokenizer, naming_model(files, load_tokenizer(files)));
  std::vector<EvalWindow> windows;
  if (side && side->is_run()) {
    windows = side->run().windows;
  } else {
    constexpr std::int32_t kAnyLength = 1 << 30;  // the server knows its own
    BITCPM_ASSIGN(windows, choose_windows(options.text, tokenizer, kAnyLength));
  }
  BITCPM_ASSIGN(const std::vector<EchoScores> scores, ask_scores(endpoint, windows, tokenizer));
  std::optional<Distance> distance;
  std::vector<CheckedBound> checked;
  if (side) {
    BITCPM_ASSIGN(distance, measure_distance(options, endpoint, *side, windows, scores, tokenizer));
    checked = check_bounds(options.bounds, [&](Bound bound) { return value_of(bound, *distance); });
  }
  const EvalSide* against = side ? &*side : nullptr;
  const std::vector<WindowLoss> losses = window_losses(losses_of(scores), windows);
  BITCPM_TRY(print_all(
      options.json
          ? pretty_json(endpoint_json(options, endpoint, losses, distance, against, checked)) + "\n"
          : endpoint_text(options, endpoint, perplexity_of(losses), distance, against)));
  return report_bounds(checked) ? ExitCode::kSuccess : ExitCode::kFailure;
}

}  // namespace bitcpm
