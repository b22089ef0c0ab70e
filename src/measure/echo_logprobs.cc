#include "measure/echo_logprobs.h"

#include <cmath>
#include <utility>

namespace bitcpm {

std::string echo_request(std::string_view model, json::value prompt) {
  return json::serialize(json::object{{"model", model},
                                      {"prompt", std::move(prompt)},
                                      {"max_tokens", 1},
                                      {"temperature", 0},
                                      {"echo", true},
                                      {"logprobs", 1}});
}

Result<std::vector<double>> parse_echo(const json::value& reply, std::size_t prompt_tokens) {
  boost::system::error_code missing;
  const json::value* list = reply.find_pointer("/choices/0/logprobs/token_logprobs", missing);
  if (list == nullptr || !list->is_array()) {
    return Error{Errc::kUnsupported, "the server gives no token_logprobs for echo"};
  }
  const json::array& values = list->as_array();
  // The last one is generated; a server that echoes nothing gives that one alone.
  if (values.size() < 2) return Error{Errc::kUnsupported, "the server does not echo the prompt"};
  if (prompt_tokens == 0) prompt_tokens = values.size() - 1;
  if (values.size() < prompt_tokens || values.size() > prompt_tokens + 1) {
    return Error{Errc::kCorrupt, "the server scores " + std::to_string(values.size()) +
                                     " tokens for a prompt of " + std::to_string(prompt_tokens)};
  }
  std::vector<double> logprobs;
  for (std::size_t i = 1; i < prompt_tokens; ++i) {
    const double value = values[i].is_number() ? values[i].to_number<double>() : NAN;
    if (!std::isfinite(value) || value > 1e-3) {
      return Error{Errc::kCorrupt,
                   "log-probability " + std::to_string(i) + " of the prompt is none"};
    }
    logprobs.push_back(value);
  }
  return logprobs;
}

}  // namespace bitcpm
