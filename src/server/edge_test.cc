#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "server/api_keys.h"
#include "server/request_id.h"
#include "server/test_site.h"

namespace bitcpm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string get(std::string_view target, std::string_view headers = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: t\r\n" + std::string(headers) + "\r\n";
}

TestResponse ask_get(std::uint16_t port, std::string_view target, std::string_view headers = "") {
  TestClient client(port);
  client.send(get(target, headers));
  return client.receive();
}

// Protects against strangers: a key is needed everywhere but for probes, in whatever spelling the
// path comes (CVE-2026-48746), and with it everything works.
TEST(Edge, WantsAKey) {
  ServerConfig config = test_config();
  config.api_keys = {"first", "second key"};
  Site site(script_of("a"), config);
  for (const char* open : {"/health", "/ready", "/ping", "/health?x=1"}) {
    EXPECT_EQ(ask_get(site.port(), open).status, 200) << open;
  }
  for (const char* closed : {"/v1/models",
                             "/v1/models/tiny",
                             "/metrics",
                             "/load",
                             "/version",
                             "/openapi.json",
                             "/tokenize",
                             "/nothing",
                             "/health/../v1/models",
                             "//v1/models",
                             "/v1//models",
                             "/%76%31/models",
                             "/V1/models",
                             "/v1/models/",
                             "/health%2f..%2fv1/models",
                             "http://t/v1/models",
                             "http://t/health/../v1/models",
                             "/health;/v1/models",
                             "*",
                             "/v1/models#/health",
                             "/v1/models?/health"}) {
    const TestResponse response = ask_get(site.port(), closed);
    EXPECT_EQ(response.status, 401) << closed;
    EXPECT_EQ(response.headers.at("www-authenticate"), "Bearer");
    EXPECT_EQ(response.json().at("error").at("code"), 401);
  }
  for (const char* header : {"", "Authorization: Bearer \r\n", "Authorization: Bearer firs\r\n",
                             "Authorization: Bearer first1\r\n", "Authorization: first\r\n",
                             "Authorization: Basic first\r\n",
                             "Authorization: Bearer first\r\nAuthorization: Bearer first\r\n",
                             "X-Api-Key: first\r\n", "Authorization: Bearer second\r\n"}) {
    EXPECT_EQ(ask_get(site.port(), "/v1/models", header).status, 401) << header;
  }
  for (const char* header : {"Authorization: Bearer first\r\n", "authorization: bearer first\r\n",
                             "Authorization: Bearer second key\r\n"}) {
    EXPECT_EQ(ask_get(site.port(), "/v1/models", header).status, 200) << header;
    EXPECT_EQ(ask_get(site.port(), "http://t/v1/models", header).status, 200) << header;
    EXPECT_EQ(ask_get(site.port(), "/nothing", header).status, 404) << header;
  }
  TestClient poster(site.port());
  EXPECT_EQ(poster.ask("/v1/completions", R"({"prompt": "x"})").status, 401);
  poster.send(
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer first\r\n"
      "Content-Length: 15\r\n\r\n{\"prompt\": \"x\"}");
  EXPECT_EQ(poster.receive().status, 200) << "a refused request leaves the connection usable";
  EXPECT_EQ(site.engine.submitted().size(), 1u);
}

// Protects memory: a stranger's body is not read.
TEST(Edge, ReadsNoStrangersBody) {
  ServerConfig config = test_config();
  config.api_keys = {"key"};
  config.max_body_bytes = 1 << 20;
  Site site(script_of("a"), config);
  TestClient client(site.port());
  client.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 65537\r\n\r\n{");
  const TestResponse response = client.receive();
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.headers.at("connection"), "close");
  TestClient waiting(site.port());
  waiting.send(
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(waiting.receive().status, 401) << "not 100";
}

// Protects balancers and scripts that wait: while the model loads everything is a 503 but what
// needs no model.
TEST(Edge, ListensWhileTheModelLoads) {
  FakeEngine engine(script_of("a"));
  const std::unique_ptr<HttpServer> server = HttpServer::listen(test_config()).value();
  for (const char* path : {"/health", "/ready", "/ping", "/v1/models"}) {
    const TestResponse response = ask_get(server->port(), path);
    EXPECT_EQ(response.status, 503) << path;
    EXPECT_EQ(response.headers.at("retry-after"), "1") << path;
  }
  TestClient client(server->port());
  EXPECT_EQ(client.ask("/v1/completions", R"({"prompt": "x"})").status, 503);
  EXPECT_EQ(ask_get(server->port(), "/version").status, 200);
  EXPECT_EQ(ask_get(server->port(), "/metrics").status, 200);
  server->serve(test_model(), engine.port(), test_tokenizer(), test_template());
  for (const char* path : {"/health", "/ready", "/ping", "/v1/models"}) {
    EXPECT_EQ(ask_get(server->port(), path).status, 200) << path;
  }
  EXPECT_EQ(client.ask("/v1/completions", R"({"prompt": "x"})").status, 200);
}

// Protects tracing: a client's id comes back, in the header and in the answer's own id, unless it
// is unfit for a log; then one is made up.
TEST(Edge, EchoesRequestIds) {
  Site site(script_of("a"));
  EXPECT_EQ(ask_get(site.port(), "/health", "X-Request-Id: abc-1.2\r\n").headers["x-request-id"],
            "abc-1.2");
  EXPECT_EQ(ask_get(site.port(), "/none", "X-Request-Id: abc\r\n").headers["x-request-id"], "abc");
  for (const std::string& bad : {std::string("a b"), std::string("\xC3\xA9"), std::string(129, 'x'),
                                 std::string("<script>"), std::string("a\"b")}) {
    const auto headers = ask_get(site.port(), "/health", "X-Request-Id: " + bad + "\r\n").headers;
    EXPECT_EQ(headers.at("x-request-id").size(), 32u) << bad;
  }
  TestClient client(site.port());
  const std::string body = R"({"prompt": "x"})";
  client.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nX-Request-Id: mine\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(client.receive().json().at("id"), "cmpl-mine");
}

// Protects web pages: Starlette's answers, which they are tested against with vLLM.
TEST(Edge, AnswersOtherOrigins) {
  const std::string preflight =
      "OPTIONS /v1/completions HTTP/1.1\r\nHost: t\r\nOrigin: https://a\r\n"
      "Access-Control-Request-Method: POST\r\n"
      "Access-Control-Request-Headers: content-type, authorization\r\n\r\n";
  {
    ServerConfig config = test_config();
    config.api_keys = {"key"};  // a preflight carries none
    Site site(script_of("a"), config);
    TestClient client(site.port());
    client.send(preflight);
    TestResponse response = client.receive();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.headers["access-control-allow-origin"], "*");
    EXPECT_EQ(response.headers["access-control-allow-headers"], "content-type, authorization");
    EXPECT_NE(response.headers["access-control-allow-methods"].find("POST"), std::string::npos);
    EXPECT_EQ(ask_get(site.port(), "/health", "Origin: https://b\r\n")
                  .headers["access-control-allow-origin"],
              "*");
    EXPECT_EQ(ask_get(site.port(), "/health").headers.count("access-control-allow-origin"), 0u);
  }
  ServerConfig config = test_config();
  config.cors.allowed_origins = {"https://a"};
  config.cors.allowed_headers = {"X-Mine"};
  config.cors.allow_credentials = true;
  Site site(script_of("a"), config);
  TestClient client(site.port());
  client.send(preflight);
  EXPECT_EQ(client.receive().status, 400) << "authorization is not allowed";
  TestResponse good = ask_get(site.port(), "/health", "Origin: https://a\r\n");
  EXPECT_EQ(good.headers["access-control-allow-origin"], "https://a");
  EXPECT_EQ(good.headers["access-control-allow-credentials"], "true");
  EXPECT_EQ(good.headers["vary"], "Origin");
  EXPECT_EQ(ask_get(site.port(), "/health", "Origin: https://evil\r\n")
                .headers.count("access-control-allow-origin"),
            0u);
}

// Protects a busy server: the one too many is refused unread, told when to come back, and costs the
// engine nothing; a place that becomes free is given away.
TEST(Edge, RefusesBeforeTokenising) {
  FakeEngine engine(endless_script());
  const std::unique_ptr<HttpServer> server = HttpServer::listen(test_config()).value();
  EnginePort port = engine.port();
  port.max_running = 1;
  port.max_waiting = 1;
  server->serve(test_model(), port, test_tokenizer(), test_template());
  TestClient first(server->port()), second(server->port()), third(server->port());
  first.post("/v1/completions", kEndless);
  second.post("/v1/completions", kEndless);
  ASSERT_TRUE(eventually([&] { return engine.running() == 2; }));
  const TestResponse refused = third.ask("/v1/completions", "not even JSON");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json().at("error").at("type"), "ServiceUnavailableError");
  EXPECT_GE(std::stoi(refused.headers.at("retry-after")), 1);
  EXPECT_EQ(third.ask("/tokenize", R"({"prompt": "x"})").status, 200) << "needs no engine";
  EXPECT_EQ(ask_get(server->port(), "/load").body, R"({"server_load":2})");
  EXPECT_NE(ask_get(server->port(), "/metrics")
                .body.find("vllm:admission_rejections_total{"
                           "engine=\"0\",model_name="
                           "\"/path/to/model/\",reason=\"max_num_queued_reqs\"} 1\n"),
            std::string::npos);
  first.close();
  ASSERT_TRUE(eventually([&] { return engine.running() == 1; }));
  EXPECT_EQ(third.ask("/v1/completions", "not even JSON").status, 400);
}

// Protects memory from readers that do not read: cut after the write timeout, their request
// cancelled, nobody else delayed.
TEST(Edge, CutsReadersThatDoNotRead) {
  ServerConfig config = test_config();
  config.timeouts.write = milliseconds{200};
  FakeEngine::Script script = script_of("la");
  script.endless = true;
  FakeEngine engine(script);
  const std::unique_ptr<HttpServer> server = HttpServer::listen(config).value();
  server->serve(test_model(), engine.port(1 << 30), test_tokenizer(), test_template());
  TestClient deaf(server->port(), 4096);
  deaf.post("/v1/completions", R"({"prompt": "x", "max_tokens": 1000000000, "stream": true})");
  ASSERT_TRUE(eventually([&] { return engine.running() == 1; }));
  EXPECT_TRUE(eventually([&] { return engine.cancelled() == 1; }));
  EXPECT_EQ(ask_get(server->port(), "/health").status, 200);
}

// Protects memory where a request has many choices: what a reader that does not read leaves lying
// is bounded, long before its write times out.
TEST(Edge, CutsReadersOfManyChoices) {
  FakeEngine::Script script = script_of("la");
  script.endless = true;
  script.tick = milliseconds{1};
  Site site(script);
  TestClient deaf(site.port(), 4096);
  deaf.post("/v1/completions",
            R"({"prompt": ["a", "b", "c", "d", "e", "f", "g", "h"], "n": 128, "max_tokens": 2000,
                "stream": true})");
  EXPECT_TRUE(eventually([&] { return site.engine.cancelled() == 1024; }));
  EXPECT_EQ(ask_get(site.port(), "/health").status, 200);
}

// Protects accepted answers: SIGTERM lets what runs come to its end, whole and streamed, answers
// what comes late with a 503, and then ends.
TEST(Edge, DrainsOnSigterm) {
  FakeEngine::Script script = script_of("one two three four five six seven eight");
  script.tick = milliseconds{40};
  Site site(script);
  TestClient idle(site.port()), whole(site.port()), stream(site.port());
  EXPECT_EQ(idle.ask("/tokenize", R"({"prompt": "x"})").status, 200);
  whole.post("/v1/completions", R"({"prompt": "x"})");
  stream.post("/v1/completions", R"({"prompt": "x", "stream": true})");
  ASSERT_TRUE(eventually([&] { return site.engine.running() == 2; }));
  site.server->heed_signals();
  std::thread waiter([&] { site.server->wait(); });
  std::this_thread::sleep_for(milliseconds{50});
  ::kill(::getpid(), SIGTERM);
  EXPECT_TRUE(idle.at_end());
  const TestResponse answer = whole.receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.json().at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  const std::vector<std::string> events = sse_data(stream.receive().body);
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(json::parse(events[events.size() - 2]).at("choices").at(0).at("finish_reason"), "stop");
  whole.close();
  stream.close();
  waiter.join();
  EXPECT_EQ(site.engine.cancelled(), 0u);
}

// Protects the operator: draining has an end, and a second signal is one at once.
TEST(Edge, DrainingHasAnEnd) {
  for (const bool twice : {false, true}) {
    ServerConfig config = test_config();
    config.timeouts.shutdown = twice ? milliseconds{60'000} : milliseconds{200};
    Site site(endless_script(), config);
    TestClient whole(site.port());
    whole.post("/v1/completions", kEndless);
    ASSERT_TRUE(eventually([&] { return site.engine.running() == 1; }));
    site.server->heed_signals();
    std::thread waiter([&] { site.server->wait(); });
    std::this_thread::sleep_for(milliseconds{50});
    const auto begin = std::chrono::steady_clock::now();
    ::kill(::getpid(), SIGTERM);
    std::this_thread::sleep_for(milliseconds{50});
    if (twice) ::kill(::getpid(), SIGINT);
    EXPECT_EQ(whole.receive().status, 503);
    whole.close();
    waiter.join();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds{5});
  }
}

// Protects the key comparison's inputs: what is a key, what is not.
TEST(ApiKeys, Compares) {
  EXPECT_FALSE(ApiKeys({}).required());
  const ApiKeys keys({"a", std::string(1000, 'k')});
  EXPECT_TRUE(keys.required());
  EXPECT_TRUE(keys.accept("Bearer a"));
  EXPECT_TRUE(keys.accept("Bearer " + std::string(1000, 'k')));
  for (const char* bad : {"", "Bearer", "Bearer ", "Bearer A", "Bearer a ", "Bearer  a", "a"}) {
    EXPECT_FALSE(keys.accept(bad)) << bad;
  }
}

}  // namespace
}  // namespace bitcpm
