#include "server/cors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>

namespace bitcpm {
namespace {

constexpr std::string_view kMethods = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
// Those that the Fetch standard lets any script send.
constexpr std::string_view kSafeHeaders[] = {"Accept", "Accept-Language", "Content-Language",
                                             "Content-Type"};

bool has(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

bool is_wild(const std::vector<std::string>& list) { return has(list, "*"); }

bool allows_header(const std::vector<std::string>& allowed, std::string_view name) {
  const auto equals = [&](std::string_view other) { return boost::beast::iequals(name, other); };
  return is_wild(allowed) || std::any_of(allowed.begin(), allowed.end(), equals) ||
         std::any_of(std::begin(kSafeHeaders), std::end(kSafeHeaders), equals);
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

bool allows_headers(const std::vector<std::string>& allowed, std::string_view list) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (!allows_header(allowed, trimmed(list.substr(0, comma)))) return false;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return true;
}

}  // namespace

bool Cors::allows_origin(std::string_view origin) const {
  return is_wild(config_.allowed_origins) || has(config_.allowed_origins, origin);
}

// With credentials a browser wants its own origin back, never "*".
std::string Cors::origin_headers(std::string_view origin) const {
  const bool any = is_wild(config_.allowed_origins) && !config_.allow_credentials;
  return fmt::format("Access-Control-Allow-Origin: {}\r\n{}{}", any ? "*" : origin,
                     any ? "" : "Vary: Origin\r\n",
                     config_.allow_credentials ? "Access-Control-Allow-Credentials: true\r\n" : "");
}

std::string Cors::headers(std::string_view origin) const {
  if (origin.empty() || !allows_origin(origin)) return {};
  return origin_headers(origin) + "Access-Control-Expose-Headers: X-Request-Id, Retry-After\r\n";
}

Cors::Preflight Cors::preflight(std::string_view origin, std::string_view method,
                                std::string_view wanted_headers) const {
  Preflight answer;
  std::vector<std::string_view> refused;
  if (!allows_origin(origin)) refused.emplace_back("origin");
  if (!is_wild(config_.allowed_methods) && !has(config_.allowed_methods, method)) {
    refused.emplace_back("method");
  }
  if (!allows_headers(config_.allowed_headers, wanted_headers)) refused.emplace_back("headers");
  if (!refused.empty()) {
    answer.status = 400;
    answer.text = fmt::format("Disallowed CORS {}", fmt::join(refused, ", "));
    return answer;
  }
  answer.text = "OK";
  answer.headers = origin_headers(origin);
  answer.headers +=
      fmt::format("Access-Control-Allow-Methods: {}\r\nAccess-Control-Max-Age: 600\r\n",
                  is_wild(config_.allowed_methods)
                      ? kMethods
                      : fmt::format("{}", fmt::join(config_.allowed_methods, ", ")));
  if (is_wild(config_.allowed_headers)) {
    if (!wanted_headers.empty()) {
      answer.headers += fmt::format("Access-Control-Allow-Headers: {}\r\n", wanted_headers);
    }
  } else {
    answer.headers +=
        fmt::format("Access-Control-Allow-Headers: {}, {}\r\n", fmt::join(kSafeHeaders, ", "),
                    fmt::join(config_.allowed_headers, ", "));
  }
  return answer;
}

}  // namespace bitcpm
