#include "server/router.h"

#include <algorithm>
#include <iterator>

#include "server/page.h"

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
    {Route::kModel, false, "/v1/models/{id}"},
    {Route::kVersion, false, "/version"},
    {Route::kCompletions, true, "/v1/completions"},
    {Route::kChatCompletions, true, "/v1/chat/completions"},
    {Route::kTokenize, true, "/tokenize"},
    {Route::kDetokenize, true, "/detokenize"},
    {Route::kPage, false, "/"},
};

constexpr std::string_view kModelPrefix = "/v1/models/";

bool matches(const Entry& entry, std::string_view path) {
  if (entry.route == Route::kPage) return find_page_file(path) != nullptr;
  if (entry.route != Route::kModel) return entry.path == path;
  return path.size() > kModelPrefix.size() && path.starts_with(kModelPrefix);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }

Parsed<Route> find_route(std::string_view method, std::string_view target) {
  const std::string_view path = path_of(target);
  const auto* entry = std::find_if(std::begin(kEntries), std::end(kEntries),
                                   [&](const Entry& e) { return matches(e, path); });
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

std::string model_of(std::string_view target) {
  const std::string_view id = path_of(target).substr(kModelPrefix.size());
  std::string decoded;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const bool is_escape =
        id[i] == '%' && i + 2 < id.size() && hex_digit(id[i + 1]) >= 0 && hex_digit(id[i + 2]) >= 0;
    if (!is_escape) {
      decoded += id[i];
      continue;
    }
    decoded += static_cast<char>(hex_digit(id[i + 1]) * 16 + hex_digit(id[i + 2]));
    i += 2;
  }
  return decoded;
}

}  // namespace bitcpm
