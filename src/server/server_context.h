#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "server/admission.h"
#include "server/api_keys.h"
#include "server/engine_port.h"
#include "server/http_server.h"
#include "server/metrics.h"
#include "server/prepared_request.h"

namespace bitcpm {

class Connection;

// What there is once the model is loaded; never changes. Any thread.
struct Service {
  ServedModel model;
  RequestLimits limits;
  TextTools tools;
  EnginePort engine;
};

// What all connections of one server share. On the server's thread but where said otherwise.
class ServerContext {
 public:
  // tls: nullptr for none.
  ServerContext(const ServerConfig& server_config,
                std::unique_ptr<boost::asio::ssl::context> tls_context);

  const ServerConfig config;
  const std::unique_ptr<boost::asio::ssl::context> tls;
  const ApiKeys keys;
  const Cors cors;
  const std::int64_t started;        // Unix seconds
  std::unique_ptr<Service> service;  // nullptr: the model is being loaded
  Metrics metrics;
  Admission admission;
  bool draining = false;  // finishes what was accepted
  bool stopping = false;  // then: ends what is left
  std::set<Connection*> connections;

  // Bytes of request bodies that are held, of all connections.
  std::size_t body_bytes = 0;

  void start_service(std::unique_ptr<Service> ready);

  // Says once per field name that it has no effect; remembers a bounded number. Any thread.
  void report_unknown_fields(const std::vector<std::string>& names);

 private:
  std::mutex mutex_;
  std::set<std::string> reported_fields_;
};

}  // namespace bitcpm
