#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "server/prompt_text.h"
#include "server/test_site.h"

namespace bitcpm {
namespace {

using std::chrono::milliseconds;

// Protects: what is no good request is refused with an answer, and the next client is served.
TEST(HttpServerLimits, RefusesBadInput) {
  struct Case {
    const char* name;
    std::string bytes;
    int status;
  };
  const auto post = [](const std::string& headers, const std::string& body) {
    return "POST /v1/completions HTTP/1.1\r\nHost: t\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  const std::string deep(5000, '[');
  const Case kCases[] = {
      {"not HTTP", "hello there\r\n\r\n", 400},
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15), 400},
      {"header too large", "GET / HTTP/1.1\r\nX: " + std::string(20000, 'x') + "\r\n\r\n", 431},
      {"body too large", post("", std::string(70000, ' ')), 413},
      {"body announced too large",
       "POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413},
      {"negative length", "POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400},
      {"two framings",
       "POST /v1/completions HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"bad chunk", "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
       400},
      {"not JSON", post("", "prompt=hi"), 400},
      {"empty body", post("", ""), 400},
      {"wrong media type", post("Content-Type: text/plain\r\n", "{}"), 415},
      {"deep JSON", post("", deep), 400},
      {"not an object", post("", "[1]"), 400},
      {"unknown model", post("", R"({"prompt": "x", "model": "gpt-4"})"), 404},
  };
  Site site(script_of("a"));
  for (const Case& c : kCases) {
    TestClient client(site.port());
    client.send(c.bytes);
    const TestResponse response = client.receive();
    EXPECT_EQ(response.status, c.status) << c.name;
    if (response.status != c.status) continue;
    const json::value error = response.json().at("error");
    EXPECT_EQ(error.at("code"), c.status) << c.name;
    EXPECT_FALSE(error.at("message").as_string().empty());
    TestClient next(site.port());
    EXPECT_EQ(next.ask("/v1/completions", R"({"prompt": "x"})").status, 200) << c.name;
  }
}

// Protects: a slow or silent client is let go, whatever it has begun.
TEST(HttpServerLimits, TimesOutSlowClients) {
  ServerConfig config = test_config();
  config.timeouts.idle = milliseconds{100};
  config.timeouts.request = milliseconds{100};
  Site site(script_of("a"), config);
  for (const char* bytes : {"", "GET /hea",
                            "POST /v1/completions HTTP/1.1\r\nContent-Length: 9"
                            "\r\n\r\n{"}) {
    TestClient client(site.port());
    client.send(bytes);
    EXPECT_TRUE(client.at_end()) << bytes;
  }
}

// Protects: connections beyond the limit are told so; the place is free again afterwards.
TEST(HttpServerLimits, LimitsConnections) {
  ServerConfig config = test_config();
  config.max_connections = 2;
  Site site(script_of("a"), config);
  const std::string request = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";
  {
    TestClient first(site.port()), second(site.port());
    first.send(request);
    second.send(request);
    EXPECT_EQ(first.receive().status, 200);
    EXPECT_EQ(second.receive().status, 200);
    TestClient third(site.port());
    const TestResponse refused = third.receive();
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.json().at("error").at("code"), 503);
  }
  EXPECT_TRUE(eventually([&] {
    TestClient again(site.port());
    again.send(request);
    return again.receive().status == 200;
  }));
}

// Protects: being out of descriptors neither floods the log nor loses the client that waits.
TEST(HttpServerLimits, OutlivesDescriptorShortage) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizers' own checks need descriptors (UBSan's vptr check opens a pipe)";
#endif
  Site site(script_of("a"));
  TestClient before(site.port());  // whatever the server opens lazily is open now
  ASSERT_EQ(before.ask("/v1/completions", R"({"prompt": "x"})").status, 200);
  testing::internal::CaptureStderr();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const int next = ::dup(0);
  ASSERT_GE(next, 0);
  ::close(next);
  const rlimit room_for_one{static_cast<rlim_t>(next) + 1, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &room_for_one), 0);
  TestClient waiting(site.port());
  std::this_thread::sleep_for(milliseconds{350});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(waiting.ask("/v1/completions", R"({"prompt": "x"})").status, 200);
  const std::string log = testing::internal::GetCapturedStderr();
  const std::size_t first = log.find("accept failed");
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("accept failed", first + 1), std::string::npos) << log;
}

// Protects: a text that cannot fit is refused before it is tokenised, in vLLM's words; where more
// is legal, the bound is four times as far.
TEST(HttpServerLimits, RefusesOverlongTextUnread) {
  ServerConfig config = test_config();
  config.max_body_bytes = 1 << 20;
  Site site(script_of("a"), config);
  TestClient client(site.port());
  const std::size_t fits = 2048 * longest_piece_bytes(test_tokenizer());
  const auto spaces = [](std::size_t bytes) { return '"' + std::string(bytes, ' ') + '"'; };
  const auto chat = [&](std::size_t bytes) {
    return R"({"messages": [{"role": "user", "content": )" + spaces(bytes) + "}]}";
  };
  struct Case {
    const char* name;
    const char* path;
    std::string body;
    int status;
    const char* says;
  };
  const Case kCases[] = {
      {"at the bound", "/v1/completions", R"({"prompt": )" + spaces(fits) + "}", 400, "contains "},
      {"beyond", "/v1/completions", R"({"prompt": )" + spaces(fits + 1) + "}", 400,
       "you requested 16 output tokens and your prompt contains at least 2049 input tokens"},
      {"far beyond", "/v1/completions", R"({"prompt": )" + spaces(5 * fits) + "}", 400,
       "at least 10240 input tokens"},
      {"in a list", "/v1/completions", R"({"prompt": ["a", )" + spaces(fits + 1) + "]}", 400,
       "at least 2049"},
      {"cut", "/v1/completions",
       R"({"truncate_prompt_tokens": 9, "prompt": )" + spaces(fits + 1) + "}", 200, ""},
      {"too long to cut", "/v1/completions",
       R"({"truncate_prompt_tokens": 9, "prompt": )" + spaces(4 * fits + 1) + "}", 400,
       "bytes of text; at most"},
      {"rendered", "/v1/chat/completions", chat(fits), 400, "at least 20"},
      {"not rendered", "/v1/chat/completions", chat(4 * fits + 1), 400, "bytes of text; at most"},
      {"counted", "/tokenize", R"({"prompt": )" + spaces(fits + 1) + "}", 200, ""},
      {"too long to count", "/tokenize", R"({"prompt": )" + spaces(4 * fits + 1) + "}", 400,
       "bytes of text; at most"},
  };
  for (const Case& c : kCases) {
    const TestResponse response = client.ask(c.path, c.body);
    EXPECT_EQ(response.status, c.status) << c.name << ": " << response.body.substr(0, 300);
    EXPECT_NE(response.body.find(c.says), std::string::npos) << c.name << ": " << response.body;
  }
  EXPECT_EQ(client.ask(kCases[0].path, kCases[0].body).body.find("at least"), std::string::npos);
}

// Protects memory: an answer of too many log-probabilities is refused with both numbers.
TEST(HttpServerLimits, BoundsLogprobs) {
  Site site(script_of("a"));
  TestClient client(site.port());
  const std::string many =
      R"({"prompt": ["a", "b", "c", "d", "e", "f", "g", "h"], "n": 128, "max_tokens": 2000, )";
  const TestResponse refused = client.ask("/v1/completions", many + R"("logprobs": 20})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("43008000 log-probabilities; an answer holds at most 4194304"),
            std::string::npos)
      << refused.body;
  EXPECT_TRUE(site.engine.submitted().empty());
  EXPECT_EQ(client.ask("/v1/completions", R"({"prompt": "a", "logprobs": 20})").status, 200);
}

// Protects: a prompt as long as the context can be echoed; scoring it is refused with true numbers,
// and ids that do not exist are refused though no engine looks at them.
TEST(HttpServerLimits, EchoesAFullContext) {
  Site site(script_of("a"));
  TestClient client(site.port());
  const auto body = [](std::size_t tokens, const std::string& fields) {
    std::string ids = "17";
    for (std::size_t i = 1; i < tokens; ++i) ids += ",17";
    return R"({"echo": true, "max_tokens": 0, "prompt": [)" + ids + "]" + fields + "}";
  };
  const json::value answer = client.ask("/v1/completions", body(2048, "")).json();
  const std::vector<TokenId> ids(2048, 17);
  EXPECT_EQ(answer.at("choices").at(0).at("text").as_string(),
            test_tokenizer().decode(ids, true).value());
  EXPECT_EQ(answer.at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 2048);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 0);
  const auto events =
      sse_data(client.ask("/v1/completions", body(2048, R"(, "n": 2, "stream": true)")).body);
  EXPECT_EQ(events.size(), 3u);
  EXPECT_TRUE(site.engine.submitted().empty());

  EXPECT_EQ(client.ask("/v1/completions", body(2047, R"(, "logprobs": 1)")).status, 200);
  EXPECT_EQ(site.engine.submitted().size(), 1u);
  const TestResponse scored = client.ask("/v1/completions", body(2048, R"(, "logprobs": 1)"));
  EXPECT_EQ(scored.status, 400);
  EXPECT_NE(scored.body.find("you requested 0 output tokens and your prompt contains 2048 input "
                             "tokens, for a total of 2048 tokens, and scoring a prompt takes one"),
            std::string::npos)
      << scored.body;
  const TestResponse longer = client.ask("/v1/completions", body(2049, ""));
  EXPECT_EQ(longer.status, 400);
  EXPECT_NE(longer.body.find("for a total of 2049 tokens. "), std::string::npos) << longer.body;
  for (const char* fields : {"", R"(, "return_token_ids": true)"}) {
    const std::string unknown =
        std::string(R"({"echo": true, "max_tokens": 0, "prompt": [999999])") + fields + "}";
    EXPECT_EQ(client.ask("/v1/completions", unknown).status, 400) << fields;
  }
}

}  // namespace
}  // namespace bitcpm
