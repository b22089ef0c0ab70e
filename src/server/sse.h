#pragma once

#include <string>
#include <string_view>

namespace bitcpm {

// Server-sent events (WHATWG HTML, "Server-sent events") as OpenAI's API uses them: one JSON
// document per event, no names, no ids.
inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";

// `json` must hold no line break: JSON as we write it never does.
inline std::string sse_event(std::string_view json) {
  std::string event = "data: ";
  event += json;
  event += "\n\n";
  return event;
}

}  // namespace bitcpm
