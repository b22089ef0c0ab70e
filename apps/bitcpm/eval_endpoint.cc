#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/quote.h"
#include "bench_report.h"
#include "console.h"
#include "eval_runs.h"
#include "measure/echo_logprobs.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr auto kPatience = std::chrono::seconds(600);

using TokenLosses = std::vector<std::vector<double>>;  // log-probabilities, per window

struct Endpoint {
  HttpBase base;
  std::string model;
  std::string api_key;
};

Result<std::vector<double>> ask(const Endpoint& endpoint, json::value prompt,
                                std::size_t prompt_tokens) {
  BITCPM_ASSIGN(const HttpReply reply,
                http_call(endpoint.base,
                          {.method = "POST",
                           .target = "/v1/completions",
                           .body = echo_request(endpoint.model, std::move(prompt)),
                           .api_key = endpoint.api_key},
                          kPatience));
  BITCPM_ASSIGN(const json::value value, reply_json(endpoint.base, reply));
  auto logprobs = parse_echo(value, prompt_tokens);
  if (!logprobs.ok()) return std::move(logprobs).error().within(endpoint.base.text());
  return logprobs;
}

// What the server says of every scored token.
Result<TokenLosses> score_at(const Endpoint& endpoint, std::span<const EvalWindow> windows,
                             const Tokenizer& tokenizer, bool as_text) {
  TokenLosses all;
  Progress progress("asking");  // wiped before anything is printed
  for (const EvalWindow& window : windows) {
    json::value prompt = json::array(window.ids.begin(), window.ids.end());
    if (as_text) {
      BITCPM_ASSIGN(const std::string text, tokenizer.decode(window.ids, true));
      prompt = json::string(text);
    }
    BITCPM_ASSIGN(std::vector<double> logprobs,
                  ask(endpoint, std::move(prompt), as_text ? 0 : window.ids.size()));
    logprobs.erase(logprobs.begin(),
                   logprobs.begin() + static_cast<std::ptrdiff_t>(window.first_scored - 1));
    all.push_back(std::move(logprobs));
    progress.update_share(static_cast<double>(all.size()) / static_cast<double>(windows.size()),
                          fmt::format("text {} of {}", all.size(), windows.size()));
  }
  return all;
}

// The same by a model here, or a saved run.
Result<TokenLosses> score_here(LogitsSource& source, std::span<const EvalWindow> windows) {
  TokenLosses all;
  for (const EvalWindow& window : windows) {
    BITCPM_TRY(source.begin(window));
    std::vector<double>& logprobs = all.emplace_back();
    const auto total = static_cast<std::int32_t>(window.rows());
    for (std::int32_t first = 0; first < total; first += Model::kMaxLogitsRows) {
      BITCPM_ASSIGN(const TensorView rows,
                    source.rows(first, std::min(Model::kMaxLogitsRows, total - first)));
      for (std::int64_t i = 0; i < rows.rows && logprobs.size() < window.predictions(); ++i) {
        logprobs.push_back(log_probability({rows.row(i), static_cast<std::size_t>(rows.cols)},
                                           window.ids[window.first_scored + logprobs.size()]));
      }
    }
  }
  return all;
}

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

// How far the server is from a side here.
struct Distance {
  Perplexity here;
  PerplexityChange change;
  double mean_abs = 0;  // of the log-probability of a token
  double max_abs = 0;
};

Distance distance_of(const TokenLosses& here, const TokenLosses& there,
                     std::span<const EvalWindow> windows) {
  const auto here_losses = window_losses(here, windows);
  Distance distance{.here = perplexity_of(here_losses),
                    .change = perplexity_change(here_losses, window_losses(there, windows))};
  double sum = 0, count = 0;
  for (std::size_t w = 0; w < here.size(); ++w) {
    for (std::size_t i = 0; i < here[w].size(); ++i) {
      const double difference = std::abs(here[w][i] - there[w][i]);
      sum += difference;
      distance.max_abs = std::max(distance.max_abs, difference);
      ++count;
    }
  }
  distance.mean_abs = sum / count;
  return distance;
}

std::string endpoint_text(const EvalOptions& options, const Endpoint& endpoint,
                          const Perplexity& ppl, const std::optional<Distance>& distance,
                          const EvalSide* side) {
  std::vector<TableRow> rows = {
      {"perplexity, every prediction once",
       fmt::format("{:.4f} (95 % interval {:.2f} to {:.2f})", ppl.by_predictions,
                   ppl.by_predictions_interval.low, ppl.by_predictions_interval.high)},
      {"perplexity, weighted by tokens", fmt::format("{:.4f}", ppl.by_tokens)}};
  std::string head =
      fmt::format("endpoint: {} at {}\n{}\n{} texts, {} predictions\n", visible(endpoint.model),
                  endpoint.base.text(), describe_text(options.text), ppl.windows,
                  with_commas(static_cast<std::int64_t>(ppl.predictions)));
  if (distance) {
    head += "against: " + side->description() + "\n";
    rows.push_back({"perplexity against", fmt::format("{:.4f}", distance->here.by_predictions)});
    rows.push_back(
        {"change", fmt::format("{:+.4f} % (95 % interval {:+.4f} to {:+.4f} %)",
                               100 * distance->change.change, 100 * distance->change.interval.low,
                               100 * distance->change.interval.high)});
    rows.push_back(
        {"difference of a log-probability, mean", fmt::format("{:.3e}", distance->mean_abs)});
    rows.push_back({"largest", fmt::format("{:.3e}", distance->max_abs)});
  }
  return head + "\n" + format_table(rows, 2);
}

json::object endpoint_json(const EvalOptions& options, const Endpoint& endpoint,
                           std::span<const WindowLoss> losses,
                           const std::optional<Distance>& distance, const EvalSide* side) {
  json::object object{{"command", "endpoint"},
                      {"base_url", endpoint.base.text()},
                      {"model", endpoint.model},
                      {"text", text_json(options.text)}};
  for (auto& entry : perplexity_json(perplexity_of(losses))) object[entry.key()] = entry.value();
  object["losses"] = losses_json(losses);
  if (distance) {
    json::object against = side->description_json();
    against["perplexity"] = distance->here.by_predictions;
    against["perplexity_change"] = distance->change.change;
    against["perplexity_change_interval"] =
        json::array{distance->change.interval.low, distance->change.interval.high};
    against["logprob_mean_abs"] = distance->mean_abs;
    against["logprob_max_abs"] = distance->max_abs;
    object["against"] = std::move(against);
  }
  return object;
}

}  // namespace

Result<ExitCode> eval_endpoint(const EvalOptions& options) {
  Endpoint endpoint;
  BITCPM_ASSIGN(endpoint.base, parse_http_base(options.endpoint.base_url));
  endpoint.api_key = endpoint_key(options.endpoint);
  BITCPM_ASSIGN(endpoint.model, served_model(endpoint.base, options.endpoint));
  std::optional<EvalSide> side;
  if (!options.a.empty()) {
    BITCPM_ASSIGN(const SideSpec spec, parse_side(options.a, options.model));
    if (!spec.run_file.empty() && options.send_text) {
      return Error{Errc::kInvalid, "a saved run has ids; --send text cannot be compared with it"};
    }
    BITCPM_ASSIGN(side, EvalSide::open(spec));
  }
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
  BITCPM_ASSIGN(const TokenLosses there, score_at(endpoint, windows, tokenizer, options.send_text));
  std::optional<Distance> distance;
  if (side) {
    BITCPM_ASSIGN(LogitsSource * source, side->source(longest_window(windows)));
    BITCPM_ASSIGN(const TokenLosses here, score_here(*source, windows));
    for (std::size_t i = 0; i < here.size(); ++i) {
      if (here[i].size() == there[i].size()) continue;
      return Error{Errc::kInvalid, fmt::format("text {}: the server scores {} tokens, {} are here",
                                               i, there[i].size(), here[i].size())};
    }
    distance = distance_of(here, there, windows);
  }
  const EvalSide* against = side ? &*side : nullptr;
  const std::vector<WindowLoss> losses = window_losses(there, windows);
  BITCPM_TRY(print_all(
      options.json ? pretty_json(endpoint_json(options, endpoint, losses, distance, against)) + "\n"
                   : endpoint_text(options, endpoint, perplexity_of(losses), distance, against)));
  return ExitCode::kSuccess;
}

}  // namespace bitcpm
