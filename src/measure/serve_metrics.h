#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace bitcpm {

// What became of one request of a load, in seconds as the client saw them.
struct RequestOutcome {
  std::string error;              // empty: it ended as it should
  double start = 0;               // since the load began
  double ttft = 0;                // until the first piece of text
  std::vector<double> itl;        // between pieces of text
  double latency = 0;             // until the last piece of text
  std::size_t input_tokens = 0;   // as the server counts them, or else as sent
  std::size_t output_tokens = 0;  // as the server counts them, or else pieces

  bool ok() const { return error.empty(); }
  // Per output token after the first; none of fewer than two.
  std::optional<double> tpot() const;
};

// What a request must keep to count as good, in milliseconds, by metric: "ttft", "tpot", "e2el".
using Goodput = std::map<std::string, double, std::less<>>;

// "ttft:500". Errors: kInvalid.
Status parse_goodput(std::string_view text, Goodput& goodput);

// The value below which `percent` of the values lie, between two of them by linear interpolation,
// as NumPy has it. At least one value.
double percentile(std::vector<double> values, double percent);

// The fields of `vllm bench serve --save-result`, under their names: completed, failed, duration,
// request_throughput, request_goodput, output_throughput, total_token_throughput, and of ttft,
// tpot, itl and e2el mean, median, std and each of `percents` in milliseconds; with `details` the
// lists per request as well. Figures that no request gave are null.
json::object serve_metrics(const std::vector<RequestOutcome>& outcomes, double duration,
                           const Goodput& goodput, const std::vector<double>& percents,
                           bool details);

}  // namespace bitcpm
