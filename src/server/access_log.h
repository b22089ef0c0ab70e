#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/http_server.h"

namespace bitcpm {

// One answered request, as the access log shows it.
struct AccessRecord {
  std::string_view method;  // as sent
  std::string_view target;  // as sent
  std::string_view path;    // of the route, or "none"
  unsigned status;
  double seconds;
  std::size_t sent_bytes;
  std::int64_t prompt_tokens;
  std::int64_t completion_tokens;
  std::string peer;
  std::string_view request_id;
};

// A line in the log, unless the config says no. Never holds a query, a prompt or a key.
void log_access(const ServerConfig& config, const AccessRecord& record);

// The method if it is one of HTTP's, else "other": fit to be a label.
std::string_view known_method(std::string_view method);

}  // namespace bitcpm
