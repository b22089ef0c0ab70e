#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"

namespace bitcpm {

// Where an OpenAI-compatible server answers: "http://host:port" or "https://host:port", and perhaps
// a path before "/v1".
struct HttpBase {
  std::string host;
  std::string port;
  std::string path;  // "" or "/prefix", without a slash or "/v1" at its end
  bool is_https = false;
  // Of https: PEM file of the certificates that are trusted besides the system's; and whether the
  // server's is looked at at all.
  std::string ca_file;
  bool verify = true;

  // "host:port", an IPv6 address in brackets.
  std::string authority() const {
    const bool is_ipv6 = host.find(':') != std::string::npos;
    return (is_ipv6 ? "[" + host + "]" : host) + ":" + port;
  }
  std::string text() const { return (is_https ? "https://" : "http://") + authority() + path; }
};

// Takes "host:port" and a trailing "/v1" too. Errors: kInvalid.
Result<HttpBase> parse_http_base(std::string_view url);

struct HttpRequest {
  std::string method = "POST";
  std::string target;  // "/v1/completions"; the base's path comes before it
  std::string body;
  std::string api_key;  // empty: none
};

struct HttpReply {
  int status = 0;
  std::string body;
};

// One request, on a connection of its own, blocking. Errors: kIo, naming the server; kInvalid (the
// ca_file); kExhausted (an answer of more than 64 MiB).
Result<HttpReply> http_call(const HttpBase& base, const HttpRequest& request,
                            std::chrono::seconds patience);

// When requests begin. Both limits may hold at once.
struct LoadSchedule {
  double request_rate = 0;  // per second, open loop; 0: as soon as the other limit lets them
  double burstiness = 1;    // shape of the gamma-distributed intervals; 1: Poisson arrivals
  int max_concurrency = 0;  // requests under way at once, closed loop; 0: any number
  unsigned seed = 0;
  std::chrono::seconds patience{600};  // for one request
};

// What is seen of a streaming request, on the thread of run_load().
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;
  virtual void started(std::size_t request) = 0;
  // One server-sent event's data, without its "data: ".
  virtual void event(std::size_t request, std::string_view data) = 0;
  // The last call for this request; `error` is empty if the stream ended as it should.
  virtual void ended(std::size_t request, std::string_view error) = 0;
};

// Sends all requests on one thread, each on a connection of its own, and returns when all have
// ended; `keep_on` is asked about ten times a second, and false gives up what runs. Errors: kIo
// (the server's name does not resolve), kInvalid (the ca_file).
Status run_load(const HttpBase& base, std::span<const HttpRequest> requests,
                const LoadSchedule& schedule, StreamObserver& observer,
                FunctionRef<bool()> keep_on);

}  // namespace bitcpm
