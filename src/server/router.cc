#include "server/router.h"

#include <algorithm>
#include <iterator>

namespace bitcpm {
namespace {

struct Entry {
  Route route;
  bool is_post;  // else GET and HEAD
  std::string_view path;
};

constexpr Entry kEntries[] = {
    {Route::kHealth, false, "/health"},
    {Route::kModels, false, "/v1/models"},
    {Route::kVersion, false, "/version"},
    {Route::kCompletions, true, "/v1/completions"},
    {Route::kChatCompletions, true, "/v1/chat/completions"},
    {Route::kTokenize, true, "/tokenize"},
    {Route::kDetokenize, true, "/detokenize"},
};

}  // namespace

Parsed<Route> find_route(std::string_view method, std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  const auto* entry = std::find_if(std::begin(kEntries), std::end(kEntries),
                                   [&](const Entry& e) { return e.path == path; });
  if (entry == std::end(kEntries)) return not_found("Not Found");
  const bool fits = entry->is_post ? method == "POST" : method == "GET" || method == "HEAD";
  if (fits) return entry->route;
  ApiError error = http_error(405, "MethodNotAllowedError", "Method Not Allowed");
  error.allow = entry->is_post ? "POST" : "GET, HEAD";
  return error;
}

std::string_view route_path(Route route) {
  const auto* entry = std::find_if(std::begin(kEntries), std::end(kEntries),
                                   [&](const Entry& e) { return e.route == route; });
  return entry->path;
}

}  // namespace bitcpm
