#include "server/router.h"

#include <algorithm>
#include <iterator>

#include "server/page.h"

namespace bitcpm {
namespace {

enum Methods : std::uint8_t { kGet, kPost, kGetOrPost };  // HEAD is a GET

enum Needs : std::uint8_t { kNothing = 0, kKey = 1, kModel = 2, kWorker = 4, kEngine = 8 };

struct Entry {
  Route route;
  std::string_view path;
  Methods methods;
  unsigned needs;
};

constexpr Entry kEntries[] = {
    {Route::kHealth, "/health", kGet, kModel},
    {Route::kReady, "/ready", kGet, kModel},
    {Route::kPing, "/ping", kGetOrPost, kModel},
    {Route::kLoad, "/load", kGet, kKey},
    {Route::kMetrics, "/metrics", kGet, kKey},
    {Route::kOpenApi, "/openapi.json", kGet, kKey},
    {Route::kVersion, "/version", kGet, kKey},
    {Route::kModels, "/v1/models", kGet, kKey | kModel},
    {Route::kModel, "/v1/models/{id}", kGet, kKey | kModel},
    {Route::kCompletions, "/v1/completions", kPost, kKey | kModel | kWorker | kEngine},
    {Route::kChatCompletions, "/v1/chat/completions", kPost, kKey | kModel | kWorker | kEngine},
    {Route::kTokenize, "/tokenize", kPost, kKey | kModel | kWorker},
    {Route::kDetokenize, "/detokenize", kPost, kKey | kModel | kWorker},
    {Route::kPage, "/", kGet, kNothing},  // asks its user for the key
};

constexpr std::string_view kModelPrefix = "/v1/models/";

bool matches(const Entry& entry, std::string_view path) {
  if (entry.route == Route::kPage) return find_page_file(path) != nullptr;
  if (entry.route != Route::kModel) return entry.path == path;
  return path.size() > kModelPrefix.size() && path.starts_with(kModelPrefix);
}

bool takes(Methods methods, std::string_view method) {
  if (method == "POST") return methods != kGet;
  return methods != kPost && (method == "GET" || method == "HEAD");
}

const Entry& entry_of(Route route) {
  return *std::find_if(std::begin(kEntries), std::end(kEntries),
                       [&](const Entry& e) { return e.route == route; });
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

// RFC 9112, section 3.2.2: a server must take a whole URL too.
std::string_view path_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(std::min(target.find('/', scheme.size()), target.size()));
    if (target.empty()) target = "/";
  }
  return target.substr(0, target.find('?'));
}

Parsed<Route> find_route(std::string_view method, std::string_view target) {
  const std::string_view path = path_of(target);
  const auto* entry = std::find_if(std::begin(kEntries), std::end(kEntries),
                                   [&](const Entry& e) { return matches(e, path); });
  if (entry == std::end(kEntries)) return not_found("Not Found");
  if (takes(entry->methods, method)) return entry->route;
  ApiError error = http_error(405, "MethodNotAllowedError", "Method Not Allowed");
  error.allow = entry->methods == kPost  ? "POST"
                : entry->methods == kGet ? "GET, HEAD"
                                         : "GET, HEAD, POST";
  return error;
}

std::string_view route_path(Route route) { return entry_of(route).path; }
bool is_public(Route route) { return (entry_of(route).needs & kKey) == 0; }
bool is_generate(Route route) { return (entry_of(route).needs & kWorker) != 0; }
bool uses_engine(Route route) { return (entry_of(route).needs & kEngine) != 0; }
bool needs_model(Route route) { return (entry_of(route).needs & kModel) != 0; }

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
