#include "measure/serve_metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/quote.h"

namespace bitcpm {
namespace {

constexpr double kMilli = 1e3;

bool is_good(const RequestOutcome& outcome, const Goodput& goodput) {
  if (!outcome.ok()) return false;
  for (const auto& [metric, limit] : goodput) {
    const double seconds = metric == "ttft"   ? outcome.ttft
                           : metric == "tpot" ? outcome.tpot().value_or(0)
                                              : outcome.latency;
    if (kMilli * seconds > limit) return false;
  }
  return true;
}

// "99", "99.9"
std::string percent_name(double percent) {
  json::value value = percent == std::floor(percent)
                          ? json::value(static_cast<std::int64_t>(percent))
                          : json::value(percent);
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, percent).ptr;
  return value.is_int64() ? std::to_string(value.as_int64()) : std::string(text, end);
}

void add_metric(const std::string& name, std::vector<double> seconds,
                const std::vector<double>& percents, json::object& object) {
  for (double& value : seconds) value *= kMilli;
  const auto count = static_cast<double>(seconds.size());
  json::value mean, median, deviation;
  if (!seconds.empty()) {
    const double average = std::accumulate(seconds.begin(), seconds.end(), 0.0) / count;
    double squares = 0;
    for (const double value : seconds) squares += (value - average) * (value - average);
    mean = average;
    median = percentile(seconds, 50);
    deviation = std::sqrt(squares / count);
  }
  object["mean_" + name + "_ms"] = std::move(mean);
  object["median_" + name + "_ms"] = std::move(median);
  object["std_" + name + "_ms"] = std::move(deviation);
  for (const double percent : percents) {
    json::value value;
    if (!seconds.empty()) value = percentile(seconds, percent);
    std::string key = "p";  // not in one sum: GCC 12 sees an overlap in it (its bug 105651)
    key.append(percent_name(percent)).append("_").append(name).append("_ms");
    object[key] = std::move(value);
  }
}

void add_details(const std::vector<RequestOutcome>& outcomes, json::object& object) {
  json::array input_lens, output_lens, ttfts, itls, starts, latencies, errors;
  for (const RequestOutcome& outcome : outcomes) {
    input_lens.push_back(outcome.input_tokens);
    output_lens.push_back(outcome.output_tokens);
    starts.push_back(outcome.start);
    ttfts.push_back(outcome.ttft);
    latencies.push_back(outcome.latency);
    itls.push_back(json::array(outcome.itl.begin(), outcome.itl.end()));
    errors.push_back(json::string(outcome.error));
  }
  object["input_lens"] = std::move(input_lens);
  object["output_lens"] = std::move(output_lens);
  object["start_times"] = std::move(starts);
  object["ttfts"] = std::move(ttfts);
  object["e2els"] = std::move(latencies);
  object["itls"] = std::move(itls);
  object["errors"] = std::move(errors);
}

}  // namespace

std::optional<double> RequestOutcome::tpot() const {
  if (output_tokens < 2) return std::nullopt;
  return (latency - ttft) / static_cast<double>(output_tokens - 1);
}

Status parse_goodput(std::string_view text, Goodput& goodput) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view metric = text.substr(0, colon);
  const std::string_view number = text.substr(std::min(colon + 1, text.size()));
  double limit = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), limit);
  const bool known = metric == "ttft" || metric == "tpot" || metric == "e2el";
  if (!known || error != std::errc() || end != number.data() + number.size() || !(limit > 0) ||
      !std::isfinite(limit)) {
    return Error{Errc::kInvalid,
                 quote_name(text) + " is not ttft:MS, tpot:MS or e2el:MS with a positive number"};
  }
  goodput[std::string(metric)] = limit;
  return {};
}

double percentile(std::vector<double> values, double percent) {
  BITCPM_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const double at = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  if (below + 1 >= values.size()) return values.back();
  return values[below] + (at - static_cast<double>(below)) * (values[below + 1] - values[below]);
}

json::object serve_metrics(const std::vector<RequestOutcome>& outcomes, double duration,
                           const Goodput& goodput, const std::vector<double>& percents,
                           bool details) {
  std::size_t completed = 0, input = 0, output = 0, good = 0;
  std::vector<double> ttft, tpot, itl, e2el;
  for (const RequestOutcome& outcome : outcomes) {
    if (!outcome.ok()) continue;
    ++completed;
    input += outcome.input_tokens;
    output += outcome.output_tokens;
    good += is_good(outcome, goodput) ? 1 : 0;
    ttft.push_back(outcome.ttft);
    if (const auto per_token = outcome.tpot()) tpot.push_back(*per_token);
    itl.insert(itl.end(), outcome.itl.begin(), outcome.itl.end());
    e2el.push_back(outcome.latency);
  }
  const auto rate = [&](std::size_t count) {
    return duration > 0 ? static_cast<double>(count) / duration : 0;
  };
  json::object object{
      {"duration", duration},
      {"completed", completed},
      {"failed", outcomes.size() - completed},
      {"total_input_tokens", input},
      {"total_output_tokens", output},
      {"request_throughput", rate(completed)},
      {"request_goodput", goodput.empty() ? json::value() : json::value(rate(good))},
      {"output_throughput", rate(output)},
      {"total_token_throughput", rate(input + output)}};
  add_metric("ttft", std::move(ttft), percents, object);
  add_metric("tpot", std::move(tpot), percents, object);
  add_metric("itl", std::move(itl), percents, object);
  add_metric("e2el", std::move(e2el), percents, object);
  if (details) add_details(outcomes, object);
  return object;
}

}  // namespace bitcpm
