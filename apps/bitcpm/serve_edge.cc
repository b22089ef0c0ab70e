#include "serve_edge.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/json.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMaxShutdownSeconds = 86'400;

// ["a", "b"], or a alone.
std::optional<std::vector<std::string>> parse_list(const std::string& text) {
  if (!text.starts_with('[')) return std::vector<std::string>{text};
  const Result<json::value> parsed = parse_json(text);
  if (!parsed.ok() || !parsed->is_array()) return std::nullopt;
  std::vector<std::string> list;
  for (const json::value& item : parsed->get_array()) {
    if (!item.is_string()) return std::nullopt;
    list.emplace_back(item.get_string());
  }
  return list;
}

void add_list(CLI::App& app, const char* name, std::string& target, const char* help) {
  app.add_option(name, target, help)->type_name("LIST")->check([](const std::string& text) {
    const bool is_header = text.find_first_of("\r\n") == std::string::npos;
    return is_header && parse_list(text) ? "" : R"(must be a JSON list of strings, ["…"])";
  });
}

void add_access_options(CLI::App& app, EdgeOptions& options) {
  app.add_option("--api-key", options.api_keys,
                 "Key that clients must send as 'Authorization: Bearer KEY'; may be repeated. The "
                 "environment variable BITCPM_API_KEY or VLLM_API_KEY keeps it out of `ps`")
      ->type_name("KEY")
      ->allow_extra_args(false)
      ->check([](const std::string& key) { return key.empty() ? "must not be empty" : ""; });
  app.add_option("--ssl-certfile", options.tls.certfile, "Certificate chain (PEM): serve HTTPS")
      ->type_name("FILE");
  app.add_option("--ssl-keyfile", options.tls.keyfile, "Its key (PEM), if in a file of its own")
      ->type_name("FILE");
  app.add_option("--ssl-ca-certs", options.tls.ca_certs, "Who may sign client certificates (PEM)")
      ->type_name("FILE");
  app.add_option("--ssl-cert-reqs", options.tls.cert_reqs,
                 "Client certificates: 0 none, 1 optional, 2 required (default: 0)")
      ->type_name("N")
      ->check(CLI::Range(0, 2).description(""));
  app.add_option("--ssl-ciphers", options.tls.ciphers, "OpenSSL's list, for TLS 1.2")
      ->type_name("LIST");
  add_list(app, "--allowed-origins", options.allowed_origins,
           R"(Web pages whose scripts may use the server (default: ["*"], all))");
  add_list(app, "--allowed-methods", options.allowed_methods, R"(For them (default: ["*"]))");
  add_list(app, "--allowed-headers", options.allowed_headers, R"(For them (default: ["*"]))");
  app.add_flag("--allow-credentials", options.allow_credentials, "Let them send credentials");
}

void add_log_options(CLI::App& app, EdgeOptions& options) {
  add_word(app, "--log-format", options.log_format, {"text", "json"}, {},
           "json: one object per line, for machines (default: text)");
  add_word(app, "--uvicorn-log-level", options.uvicorn_log_level,
           {"critical", "error", "warning", "info", "debug", "trace"}, {},
           "Above info: no access log (default: info)");
  app.add_flag("--disable-uvicorn-access-log", options.disable_access_log, "No access log");
  app.add_option("--disable-access-log-for-endpoints", options.unlogged_endpoints,
                 "Paths without access log (default: /health,/ready,/ping,/metrics,/load)")
      ->type_name("PATHS");
  app.add_flag("--disable-fastapi-docs", options.disable_docs, "No /openapi.json");
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::vector<std::string> keys_of(const EdgeOptions& options) {
  if (!options.api_keys.empty()) return options.api_keys;
  for (const char* name : {"BITCPM_API_KEY", "VLLM_API_KEY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return {value};
  }
  return {};
}

}  // namespace

void add_edge_options(CLI::App& app, EdgeOptions& options) {
  app.add_option("--host", options.host, "Address to listen on (default: 127.0.0.1)")
      ->type_name("ADDRESS");
  add_count(app, "--port", options.port, 0, 65535, "0 takes any free one (default: 8000)");
  add_access_options(app, options);
  add_count(app, "--shutdown-timeout", options.shutdown_timeout_s, 0, kMaxShutdownSeconds,
            "Seconds that SIGTERM leaves for accepted requests; a second signal ends them "
            "(default: 30)");
  add_log_options(app, options);
}

std::string edge_usage_error(const EdgeOptions& options) {
  const TlsConfig& tls = options.tls;
  const bool has_more =
      !tls.keyfile.empty() || !tls.ca_certs.empty() || !tls.ciphers.empty() || tls.cert_reqs != 0;
  if (tls.certfile.empty() && has_more) return "the --ssl flags need --ssl-certfile";
  if (tls.cert_reqs != 0 && tls.ca_certs.empty()) return "--ssl-cert-reqs needs --ssl-ca-certs";
  return {};
}

ServerConfig edge_config(const EdgeOptions& options) {
  ServerConfig config;
  config.host = options.host;
  if (options.port) config.port = static_cast<std::uint16_t>(*options.port);
  config.api_keys = keys_of(options);
  config.tls = options.tls;
  config.cors = {*parse_list(options.allowed_origins), *parse_list(options.allowed_methods),
                 *parse_list(options.allowed_headers), options.allow_credentials};
  if (options.shutdown_timeout_s) {
    config.timeouts.shutdown = std::chrono::seconds(*options.shutdown_timeout_s);
  }
  const std::string& level = options.uvicorn_log_level;
  const bool is_quiet = level == "critical" || level == "error" || level == "warning";
  config.access_log = !options.disable_access_log && !is_quiet;
  if (!options.unlogged_endpoints.empty()) {
    config.unlogged_paths = split(options.unlogged_endpoints, ',');
  }
  config.docs = !options.disable_docs;
  return config;
}

}  // namespace bitcpm
