#include "server/server_context.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/log.h"

namespace bitcpm {

ServerContext::ServerContext(const ServerConfig& server_config, RequestLimits request_limits,
                             EnginePort engine_port, TextTools text_tools)
    : limits(std::move(request_limits)),
      tools(text_tools),
      engine(std::move(engine_port)),
      config(server_config),
      started(std::time(nullptr)) {}

void ServerContext::report_unknown_fields(const std::vector<std::string>& names) {
  constexpr std::size_t kMaxNames = 256;
  constexpr std::size_t kMaxBytes = 64;
  const std::lock_guard lock(mutex_);
  for (const std::string& name : names) {
    // The name is a stranger's: only a plain one may reach the log.
    const bool is_plain = name.size() <= kMaxBytes &&
                          std::all_of(name.begin(), name.end(),
                                      [](char c) { return c > ' ' && c <= '~' && c != '\''; });
    if (!is_plain || reported_fields_.size() >= kMaxNames) continue;
    if (reported_fields_.insert(name).second) {
      log_info("request field '" + name + "' is not known and has no effect");
    }
  }
}

}  // namespace bitcpm
