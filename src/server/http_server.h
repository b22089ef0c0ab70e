#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/model_config.h"
#include "server/cors.h"
#include "server/tls.h"

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
  std::chrono::milliseconds write{60'000};    // to take one write; a reader slower than that is cut
  std::chrono::milliseconds linger{2'000};    // reading what is in flight after an early answer
  std::chrono::milliseconds shutdown{30'000};  // after SIGTERM: to finish what was accepted
  std::chrono::milliseconds stop{3'000};       // after that: to tell clients that it is over
};

struct ServerConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;          // 0: any free one, see HttpServer::port
  std::vector<std::string> api_keys;  // empty: everyone may use it
  TlsConfig tls;
  CorsConfig cors;
  bool access_log = true;
  std::vector<std::string> unlogged_paths{"/health", "/ready", "/ping", "/metrics", "/load"};
  bool docs = true;  // /openapi.json
  std::size_t max_body_bytes = std::size_t{4} << 20;
  std::size_t max_connections = 1024;
  ServerTimeouts timeouts;
};

// What a request gets unless it says otherwise; vLLM's flags of these names.
struct RequestDefaults {
  std::string chat_template_kwargs;  // a JSON object; empty: none
  bool force_include_usage = false;  // in every stream
  bool return_tokens_as_token_ids = false;
  bool exclude_tools_when_tool_choice_none = false;
  bool parse_tool_calls =
      false;  // --enable-auto-tool-choice: taken out of the text, see ToolCallParser
};

// What a server says of its model.
struct ServedModel {
  std::vector<std::string>
      names;  // that requests may use; the first one is the canonical; never empty
  std::string numerics = "exact";  // shown in /v1/models
  GenerationDefaults generation;   // for what a request leaves out
  std::string fingerprint;         // system_fingerprint; empty: null
  RequestDefaults defaults;
};

// The OpenAI-compatible edge: HTTP/1.1, JSON and text on one side, token ids on the other. Runs on
// its own thread.
class HttpServer {
 public:
  // Binds and answers; whatever needs the model is a 503 until serve().
  // Errors: kIo (address in use, not ours, no permission), kInvalid (certificate files).
  static Result<std::unique_ptr<HttpServer>> listen(const ServerConfig& config);

  // From here on it serves; once. Engine, tokenizer and template must outlive the server. The
  // second form takes any engine that keeps the port's contracts.
  void serve(ServedModel model, Engine& engine, const Tokenizer& tokenizer,
             const ChatTemplate& chat_template);
  void serve(ServedModel model, EnginePort engine, const Tokenizer& tokenizer,
             const ChatTemplate& chat_template);

  ~HttpServer();  // stop(), then joins
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;

  // From here on SIGINT or SIGTERM ends it in good order instead of killing the process: nothing
  // new is accepted, what was accepted is finished within timeouts.shutdown. A second signal, and
  // that time's end, is a stop(). Before serve(), or a signal might kill a server that is ready.
  void heed_signals();

  void wait();  // blocks until the server has ended

  // Any thread: accepts nothing new, ends what is running in an error (503; in a stream its last
  // event but [DONE]) and returns; wait() does within a few seconds.
  void stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitcpm
