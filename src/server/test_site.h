#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "server/fake_engine.h"
#include "server/http_server.h"
#include "server/test_client.h"
#include "server/test_support.h"

namespace bitcpm {

inline ServerConfig test_config() {
  ServerConfig config;
  config.port = 0;
  config.max_body_bytes = 64 << 10;
  config.timeouts.stop = std::chrono::milliseconds{1000};
  return config;
}

inline ServedModel test_model() {
  ServedModel model;
  model.names = {"/path/to/model/", "tiny"};
  return model;
}

inline FakeEngine::Script script_of(std::string_view text) {
  FakeEngine::Script script;
  script.tokens = continuation(text);
  return script;
}

inline FakeEngine::Script endless_script() {
  FakeEngine::Script script = script_of("la");
  script.endless = true;
  script.tick = std::chrono::milliseconds{2};
  return script;
}

// A server over a scripted engine, on a port of its own.
struct Site {
  explicit Site(FakeEngine::Script script, ServerConfig config = test_config())
      : engine(std::move(script)), server(HttpServer::listen(config).value()) {
    server->serve(test_model(), engine.port(), test_tokenizer(), test_template());
  }
  std::uint16_t port() const { return server->port(); }

  FakeEngine engine;
  std::unique_ptr<HttpServer> server;
};

inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return false;
}

inline std::vector<std::string> sse_data(const std::string& body) {
  std::vector<std::string> events;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = body.find("\n\n", at);
    EXPECT_NE(end, std::string::npos);
    EXPECT_EQ(body.compare(at, 6, "data: "), 0);
    events.push_back(body.substr(at + 6, end - at - 6));
    at = end + 2;
  }
  return events;
}

inline constexpr const char* kEndless = R"({"prompt": "x", "max_tokens": 2000})";
inline constexpr const char* kEndlessStream =
    R"({"prompt": "x", "max_tokens": 2000, "stream": true})";

}  // namespace bitcpm
