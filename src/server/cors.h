#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitcpm {

// Which web pages' scripts may use the server, and how; vLLM's flags and defaults. A list that
// holds
// "*" allows everything.
struct CorsConfig {
  std::vector<std::string> allowed_origins{"*"};
  std::vector<std::string> allowed_methods{"*"};
  std::vector<std::string> allowed_headers{"*"};
  bool allow_credentials = false;
};

// Cross-Origin Resource Sharing (WHATWG Fetch, section 3.2), with the answers of Starlette's
// CORSMiddleware, which vLLM uses.
class Cors {
 public:
  explicit Cors(CorsConfig config) : config_(std::move(config)) {}

  // Header lines for the answer to a request with this Origin header; "" without one.
  std::string headers(std::string_view origin) const;

  struct Preflight {
    unsigned status = 200;  // 400: not allowed
    std::string headers;
    std::string text;
  };
  // The answer to OPTIONS with Origin and Access-Control-Request-Method.
  Preflight preflight(std::string_view origin, std::string_view method,
                      std::string_view wanted_headers) const;

 private:
  bool allows_origin(std::string_view origin) const;
  std::string origin_headers(std::string_view origin) const;
  CorsConfig config_;
};

}  // namespace bitcpm
