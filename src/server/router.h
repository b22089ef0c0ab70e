#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/api_error.h"

namespace bitcpm {

enum class Route : std::uint8_t {
  kHealth,
  kModels,
  kModel,  // one of them, see model_of
  kVersion,
  kCompletions,
  kChatCompletions,
  kTokenize,
  kDetokenize,
  kPage,  // a file of the chat page, see page.h
};

// `target` as in the request line; a query is ignored. HEAD goes where GET goes.
// Errors: 404, 405 with `allow`.
Parsed<Route> find_route(std::string_view method, std::string_view target);

// `target` without its query.
std::string_view path_of(std::string_view target);

std::string_view route_path(Route route);

// The id in a kModel target, percent-decoded; it may hold slashes, a trailing one included. What is
// no valid escape stands for itself.
std::string model_of(std::string_view target);

}  // namespace bitcpm
