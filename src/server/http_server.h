#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/model_config.h"

namespace bitcpm {

class ChatTemplate;
class Engine;
class Tokenizer;
struct EnginePort;

// How long a peer may take. A deadline covers the whole step, so that a byte now and then does not
// extend it.
struct ServerTimeouts {
  std::chrono::milliseconds idle{75'000};     // between two requests of a connection
  std::chrono::milliseconds request{30'000};  // to send a header; again, to send its body
  std::chrono::milliseconds write{60'000};    // to take one write
  std::chrono::milliseconds drain{2'000};     // reading what is in flight after an early answer
  std::chrono::milliseconds stop{3'000};      // what runs at stop(): to end in good order
};

struct ServerConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;                    // 0: any free one, see HttpServer::port
  std::vector<std::string> served_model_names;  // the first one is the canonical; never empty
  std::string numerics = "exact";               // shown in /v1/models
  GenerationDefaults generation;                // for what a request leaves out
  std::size_t max_body_bytes = std::size_t{4} << 20;
  std::size_t max_connections = 1024;
  ServerTimeouts timeouts;
};

// The OpenAI-compatible edge: HTTP/1.1, JSON and text on one side, token ids on the other. Runs on
// its own thread. Engine, tokenizer and template must outlive it.
class HttpServer {
 public:
  // Binds and starts to accept. Errors: kIo (address in use, not ours, no permission).
  static Result<std::unique_ptr<HttpServer>> start(const ServerConfig& config, Engine& engine,
                                                   const Tokenizer& tokenizer,
                                                   const ChatTemplate& chat_template);
  // The same over any engine that keeps the port's contracts.
  static Result<std::unique_ptr<HttpServer>> start(const ServerConfig& config, EnginePort engine,
                                                   const Tokenizer& tokenizer,
                                                   const ChatTemplate& chat_template);
  ~HttpServer();  // stop(), then joins
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;

  // Blocks until SIGINT or SIGTERM arrives or stop() is called. A stopping server accepts nothing
  // new, ends what is running in an error (503; in a stream its last event but [DONE]), and returns
  // within a few seconds.
  void wait();

  void stop();  // any thread

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitcpm
