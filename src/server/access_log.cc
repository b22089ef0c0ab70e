#include "server/access_log.h"

#include <algorithm>
#include <vector>

#include "base/log.h"

namespace bitcpm {
namespace {

// What was sent, without query, bounded and in plain ASCII.
std::string shown(std::string_view text) {
  constexpr std::size_t kMaxBytes = 200;
  std::string plain(text.substr(0, std::min(text.find('?'), kMaxBytes)));
  std::replace_if(
      plain.begin(), plain.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return plain;
}

}  // namespace

std::string_view known_method(std::string_view method) {
  constexpr std::string_view kKnown[] = {"GET", "HEAD",   "POST", "OPTIONS",
                                         "PUT", "DELETE", "PATCH"};
  const auto* found = std::find(std::begin(kKnown), std::end(kKnown), method);
  return found == std::end(kKnown) ? "other" : *found;
}

void log_access(const ServerConfig& config, const AccessRecord& record) {
  const auto& unlogged = config.unlogged_paths;
  if (!config.access_log ||
      std::find(unlogged.begin(), unlogged.end(), record.path) != unlogged.end()) {
    return;
  }
  const std::string method = shown(record.method);
  const std::string target = shown(record.target);
  std::vector<LogField> fields{{"method", method},
                               {"path", target},
                               {"status", static_cast<std::int64_t>(record.status)},
                               {"ms", record.seconds * 1e3},
                               {"bytes", static_cast<std::int64_t>(record.sent_bytes)}};
  if (record.prompt_tokens > 0) {
    fields.push_back({"prompt_tokens", record.prompt_tokens});
    fields.push_back({"completion_tokens", record.completion_tokens});
  }
  fields.push_back({"client", record.peer});
  fields.push_back({"request_id", record.request_id});
  log_event(LogLevel::kInfo, "access", fields);
}

}  // namespace bitcpm
