#include "server/server_context.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/log.h"

namespace bitcpm {

ServerContext::ServerContext(const ServerConfig& server_config,
                             std::unique_ptr<boost::asio::ssl::context> tls_context)
    : config(server_config),
      tls(std::move(tls_context)),
      keys(server_config.api_keys),
      cors(server_config.cors),
      started(std::time(nullptr)) {}

void ServerContext::start_service(std::unique_ptr<Service> ready) {
  const auto running = static_cast<std::size_t>(std::max(ready->engine.max_running, 1));
  admission.set_capacity(running + static_cast<std::size_t>(ready->engine.max_waiting), running);
  metrics.set_model(ready->limits.served_model_names.front(), ready->limits.max_model_len,
                    ready->engine.kv_cache);
  service = std::move(ready);
}

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
