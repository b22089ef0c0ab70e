#include "measure/echo_logprobs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace bitcpm {
namespace {

// An entry of "top_logprobs": {"spelling": log-probability, …}, or null.
std::vector<TokenLogprob> parse_top(const json::value& entry, TokenOfSpelling token_of) {
  std::vector<TokenLogprob> top;
  if (!entry.is_object()) return top;
  for (const auto& [spelling, value] : entry.as_object()) {
    if (!value.is_number()) continue;
    const double logprob = value.to_number<double>();
    if (std::isfinite(logprob)) top.push_back({token_of(spelling), logprob});
  }
  std::stable_sort(top.begin(), top.end(),
                   [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
  return top;
}

}  // namespace

std::string echo_request(std::string_view model, json::value prompt, int top) {
  return json::serialize(json::object{{"model", model},
                                      {"prompt", std::move(prompt)},
                                      {"max_tokens", 1},
                                      {"temperature", 0},
                                      {"echo", true},
                                      {"logprobs", top},
                                      {"return_tokens_as_token_ids", true}});
}

Result<EchoScores> parse_echo(const json::value& reply, std::size_t prompt_tokens,
                              TokenOfSpelling token_of) {
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
  EchoScores scores;
  for (std::size_t i = 1; i < prompt_tokens; ++i) {
    const double value = values[i].is_number() ? values[i].to_number<double>() : NAN;
    if (!std::isfinite(value) || value > 1e-3) {
      return Error{Errc::kCorrupt,
                   "log-probability " + std::to_string(i) + " of the prompt is none"};
    }
    scores.logprobs.push_back(value);
  }
  const json::value* tops = reply.find_pointer("/choices/0/logprobs/top_logprobs", missing);
  scores.tops.resize(values.size() - 1);
  for (std::size_t i = 0; tops != nullptr && tops->is_array() && i < scores.tops.size(); ++i) {
    if (i + 1 < tops->as_array().size()) scores.tops[i] = parse_top(tops->at(i + 1), token_of);
  }
  return scores;
}

TokenId token_of_id_spelling(std::string_view spelling, std::int32_t vocab_size) {
  constexpr std::string_view kPrefix = "token_id:";
  if (!spelling.starts_with(kPrefix)) return TokenLogprob::kUnknown;
  TokenId token = TokenLogprob::kUnknown;
  const char* end = spelling.data() + spelling.size();
  const auto [at, error] = std::from_chars(spelling.data() + kPrefix.size(), end, token);
  const bool is_token = error == std::errc() && at == end && token >= 0 && token < vocab_size;
  return is_token ? token : TokenLogprob::kUnknown;
}

}  // namespace bitcpm
