#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "server/engine_port.h"
#include "server/http_server.h"
#include "server/prepared_request.h"

namespace bitcpm {

class Connection;

// What all connections of one server share. On the server's thread but where said otherwise.
class ServerContext {
 public:
  ServerContext(const ServerConfig& server_config, RequestLimits request_limits,
                EnginePort engine_port, TextTools text_tools);

  const RequestLimits limits;  // any thread
  const TextTools tools;       // any thread
  const EnginePort engine;
  const ServerConfig config;
  const std::int64_t started;  // Unix seconds
  bool stopping = false;
  std::set<Connection*> connections;

  // Says once per field name that it has no effect; remembers a bounded number. Any thread.
  void report_unknown_fields(const std::vector<std::string>& names);

 private:
  std::mutex mutex_;
  std::set<std::string> reported_fields_;
};

}  // namespace bitcpm
