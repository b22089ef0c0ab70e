#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "option_values.h"
#include "server/http_server.h"

namespace bitcpm {

// The flags of `serve` about connections, access and logs.
struct EdgeOptions {
  std::string host = "127.0.0.1";
  OptionalCount port;
  std::vector<std::string> api_keys;
  TlsConfig tls;
  std::string allowed_origins = R"(["*"])";  // JSON lists, as vLLM takes them
  std::string allowed_methods = R"(["*"])";
  std::string allowed_headers = R"(["*"])";
  bool allow_credentials = false;
  OptionalCount shutdown_timeout_s;
  std::string log_format = "text";
  std::string uvicorn_log_level = "info";
  bool disable_access_log = false;
  std::string unlogged_endpoints;
  bool disable_docs = false;
};

void add_edge_options(CLI::App& app, EdgeOptions& options);

// What no single flag can know: empty, or what is wrong.
std::string edge_usage_error(const EdgeOptions& options);

// Without --api-key, the environment's BITCPM_API_KEY or VLLM_API_KEY is the key.
ServerConfig edge_config(const EdgeOptions& options);

}  // namespace bitcpm
