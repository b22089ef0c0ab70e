#pragma once

#include <cstdint>
#include <string_view>

#include "server/api_error.h"

namespace bitcpm {

enum class Route : std::uint8_t {
  kHealth,
  kModels,
  kVersion,
  kCompletions,
  kChatCompletions,
  kTokenize,
  kDetokenize,
};

// `target` as in the request line; a query is ignored. HEAD goes where GET goes.
// Errors: 404, 405 with `allow`.
Parsed<Route> find_route(std::string_view method, std::string_view target);

std::string_view route_path(Route route);

}  // namespace bitcpm
