#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/api_error.h"

namespace bitcpm {

enum class Route : std::uint8_t {
  kHealth,
  kReady,
  kPing,
  kLoad,
  kMetrics,
  kOpenApi,
  kVersion,
  kModels,
  kModel,  // one of them, see model_of
  kCompletions,
  kChatCompletions,
  kTokenize,
  kDetokenize,
  kPage,  // a file of the chat page, see page.h
};

// `target` as in the request line, in origin or absolute form; a query is ignored, and nothing else
// is normalised: one path per route, so that no other spelling can be taken for a public one.
// HEAD goes where GET goes. Errors: 404, 405 with `allow`.
Parsed<Route> find_route(std::string_view method, std::string_view target);

// `target` without its query.
std::string_view path_of(std::string_view target);

std::string_view route_path(Route route);

bool is_public(Route route);    // answers without an API key
bool is_generate(Route route);  // has a JSON body that a worker reads
bool uses_engine(Route route);  // of those: and then the engine
bool needs_model(Route route);  // 503 while it is loaded

// The id in a kModel target, percent-decoded; it may hold slashes, a trailing one included. What is
// no valid escape stands for itself.
std::string model_of(std::string_view target);

}  // namespace bitcpm
