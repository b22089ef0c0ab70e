#include "server/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "server/test_site.h"

namespace bitcpm {
namespace {

using std::chrono::milliseconds;

// Protects: the small GET routes, HEAD included, and keep-alive across them.
TEST(HttpServer, AnswersGets) {
  Site site(script_of("a"));
  TestClient client(site.port());
  client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
  TestResponse response = client.receive();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "");
  client.send("HEAD /v1/models HTTP/1.1\r\nHost: t\r\n\r\n");
  response = client.receive(false);
  EXPECT_EQ(response.status, 200);
  EXPECT_GT(std::stoi(response.headers["content-length"]), 100);
  client.send("GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n");
  const json::value models = client.receive().json();
  EXPECT_EQ(models.at("object"), "list");
  ASSERT_EQ(models.at("data").as_array().size(), 2u);
  const json::value& card = models.at("data").at(1);
  EXPECT_EQ(card.at("id"), "tiny");
  EXPECT_EQ(card.at("object"), "model");
  EXPECT_EQ(card.at("owned_by"), "bitcpm");
  EXPECT_EQ(card.at("root"), "/path/to/model/");
  EXPECT_EQ(card.at("max_model_len"), 2048);
  EXPECT_EQ(card.at("numerics"), "exact");
  client.send("GET /version HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(client.receive().json().at("version").is_string());
}

// Protects: one model's card under each of its names, slashes escaped or not.
TEST(HttpServer, AnswersForOneModel) {
  Site site(script_of("a"));
  TestClient client(site.port());
  struct Case {
    const char* id;
    const char* name;  // nullptr: 404
  };
  const Case kCases[] = {
      {"tiny", "tiny"},
      {"%2Fpath%2Fto%2Fmodel%2F", "/path/to/model/"},
      {"/path/to/model/", "/path/to/model/"},
      {"gpt-4", nullptr},
      {"%FF", nullptr},
  };
  for (const Case& c : kCases) {
    client.send(std::string("GET /v1/models/") + c.id + " HTTP/1.1\r\nHost: t\r\n\r\n");
    const TestResponse response = client.receive();
    EXPECT_EQ(response.status, c.name != nullptr ? 200 : 404) << c.id;
    if (c.name != nullptr) {
      EXPECT_EQ(response.json().at("id"), c.name);
      EXPECT_EQ(response.json().at("object"), "model");
    } else {
      EXPECT_EQ(response.json().at("error").at("type"), "NotFoundError");
    }
  }
}

// Protects: unknown paths and methods get OpenAI's error body, and the connection lives on.
TEST(HttpServer, AnswersWrongRoutes) {
  Site site(script_of("a"));
  TestClient client(site.port());
  client.send("GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n");
  TestResponse response = client.receive();
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.json().at("error").at("code"), 404);
  client.send("DELETE /v1/completions HTTP/1.1\r\nHost: t\r\n\r\n");
  response = client.receive();
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers["allow"], "POST");
  EXPECT_EQ(response.json().at("error").at("code"), 405);
}

// Protects: the reference deployment's request, line breaks and all.
TEST(HttpServer, CompletesTheReferenceRequest) {
  Site site(script_of("你好,我是模型"));
  TestClient client(site.port());
  const TestResponse response = client.ask("/v1/completions", R"({
"model":"/path/to/model/",
"prompt":"你好,请介绍一下你自己",
"temperature":0,
"max_tokens":128
})");
  EXPECT_EQ(response.status, 200);
  const json::value answer = response.json();
  EXPECT_EQ(answer.at("object"), "text_completion");
  EXPECT_EQ(answer.at("model"), "/path/to/model/");
  EXPECT_EQ(answer.at("choices").at(0).at("text"), " 你好,我是模型");
  EXPECT_EQ(answer.at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(answer.at("choices").at(0).at("stop_reason"), nullptr);
  const auto submitted = site.engine.submitted();
  ASSERT_EQ(submitted.size(), 1u);
  EXPECT_EQ(submitted[0].first, test_tokenizer().encode("你好,请介绍一下你自己", true).value());
  EXPECT_EQ(submitted[0].second.temperature, 0.0f);
  EXPECT_EQ(submitted[0].second.max_tokens, 128);
  EXPECT_EQ(answer.at("usage").at("prompt_tokens").as_int64(),
            static_cast<std::int64_t>(submitted[0].first.size()));
}

// Protects: a stream says what the whole answer says, ends with [DONE], and counts usage once.
TEST(HttpServer, StreamsCompletions) {
  Site site(script_of("one two 三四"));
  TestClient client(site.port());
  const json::value whole = client.ask("/v1/completions", R"({"prompt": "x"})").json();
  const TestResponse response =
      client.ask("/v1/completions",
                 R"({"prompt": "x", "stream": true, "stream_options": {"include_usage": true}})");
  EXPECT_EQ(response.headers.at("content-type"), "text/event-stream; charset=utf-8");
  const std::vector<std::string> events = sse_data(response.body);
  ASSERT_GE(events.size(), 4u);
  EXPECT_EQ(events.back(), "[DONE]");
  std::string text;
  int finishes = 0;
  for (std::size_t i = 0; i + 2 < events.size(); ++i) {
    const json::value choice = json::parse(events[i]).at("choices").at(0);
    text += choice.at("text").as_string();
    finishes += choice.at("finish_reason") != nullptr;
  }
  EXPECT_EQ(text, whole.at("choices").at(0).at("text").as_string());
  EXPECT_EQ(finishes, 1);
  const json::value usage = json::parse(events[events.size() - 2]);
  EXPECT_TRUE(usage.at("choices").as_array().empty());
  EXPECT_EQ(usage.at("usage").at("completion_tokens"), whole.at("usage").at("completion_tokens"));
}

// Protects: the chat stream's order: role, content, finish, [DONE]; and the whole answer's message.
TEST(HttpServer, AnswersChats) {
  Site site(script_of("fine"));
  TestClient client(site.port());
  const std::string messages = R"("messages": [{"role": "user", "content": "how are you?"}])";
  const json::value whole =
      client.ask("/v1/chat/completions", "{" + messages + ", \"logprobs\": true}").json();
  EXPECT_EQ(whole.at("object"), "chat.completion");
  EXPECT_EQ(whole.at("choices").at(0).at("message").at("role"), "assistant");
  EXPECT_EQ(whole.at("choices").at(0).at("message").at("content"), " fine");
  EXPECT_FALSE(whole.at("choices").at(0).at("logprobs").at("content").as_array().empty());
  const auto [prompt, params] = site.engine.submitted().at(0);
  EXPECT_EQ(prompt.front(), test_tokenizer().bos_id());
  EXPECT_EQ(params.max_tokens, 2048 - static_cast<int>(prompt.size()));

  const auto events =
      sse_data(client.ask("/v1/chat/completions", "{" + messages + ", \"stream\": true}").body);
  const json::value first = json::parse(events.at(0));
  EXPECT_EQ(first.at("object"), "chat.completion.chunk");
  EXPECT_EQ(first.at("choices").at(0).at("delta").at("role"), "assistant");
  std::string text;
  for (std::size_t i = 1; i + 1 < events.size(); ++i) {
    text += json::parse(events[i]).at("choices").at(0).at("delta").at("content").as_string();
  }
  EXPECT_EQ(text, " fine");
  EXPECT_EQ(json::parse(events[events.size() - 2]).at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(events.back(), "[DONE]");
}

// Protects: several prompts with several choices each come back in order, seeds counting up.
TEST(HttpServer, RunsManyChoices) {
  Site site(script_of("ab"));
  TestClient client(site.port());
  const json::value answer =
      client.ask("/v1/completions", R"({"prompt": ["a", "b"], "n": 3, "seed": 40, "echo": true})")
          .json();
  const json::array& choices = answer.at("choices").as_array();
  ASSERT_EQ(choices.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(choices[i].at("index"), i);
    EXPECT_TRUE(choices[i].at("text").as_string().starts_with(i < 3 ? "a" : "b"));
    EXPECT_EQ(site.engine.submitted()[i].second.seed, 40 + i % 3);
  }
}

// Protects: echo with logprobs lines tokens, logprobs and offsets up, whole and streamed alike.
TEST(HttpServer, EchoesLogprobs) {
  Site site(script_of("ab"));
  TestClient client(site.port());
  const json::value answer =
      client
          .ask("/v1/completions",
               R"({"prompt": "Hello", "echo": true, "logprobs": 2, "prompt_logprobs": 1})")
          .json();
  const json::value& choice = answer.at("choices").at(0);
  const json::value& logprobs = choice.at("logprobs");
  const auto prompt = site.engine.submitted().at(0).first;
  const std::size_t tokens = logprobs.at("tokens").as_array().size();
  EXPECT_EQ(tokens, prompt.size() + answer.at("usage").at("completion_tokens").as_int64());
  EXPECT_EQ(logprobs.at("token_logprobs").as_array().size(), tokens);
  EXPECT_EQ(logprobs.at("text_offset").as_array().size(), tokens);
  EXPECT_EQ(logprobs.at("top_logprobs").as_array().size(), tokens);
  EXPECT_EQ(logprobs.at("token_logprobs").at(0), nullptr);
  EXPECT_EQ(logprobs.at("text_offset").at(prompt.size()), 5);
  EXPECT_EQ(choice.at("prompt_logprobs").as_array().size(), prompt.size());

  const auto events =
      sse_data(client
                   .ask("/v1/completions",
                        R"({"prompt": "Hello", "echo": true, "logprobs": 2, "stream": true})")
                   .body);
  std::size_t streamed = 0;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    streamed +=
        json::parse(events[i]).at("choices").at(0).at("logprobs").at("tokens").as_array().size();
  }
  EXPECT_EQ(streamed, tokens);
}

// Protects: a full engine is a 503 that says when to come back, and what had been queued of the
// same request is taken back.
TEST(HttpServer, QueueFullIs503) {
  FakeEngine::Script script = endless_script();
  script.capacity = 2;
  Site site(script);
  TestClient client(site.port());
  const TestResponse response = client.ask(
      "/v1/completions", R"({"prompt": ["a", "b", "c"], "max_tokens": 2000, "stream": true})");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.at("retry-after"), "1");
  EXPECT_EQ(response.json().at("error").at("type"), "ServiceUnavailableError");
  EXPECT_TRUE(eventually([&] { return site.engine.running() == 0; }));
  EXPECT_EQ(site.engine.cancelled(), 2u);
}

// Protects: a client that leaves, in whatever way, frees its place in the engine.
TEST(HttpServer, DisconnectCancels) {
  struct Case {
    const char* name;
    const char* body;
    bool reset;
    bool pipelined;  // bytes of a next request wait unread
  };
  const Case kCases[] = {
      {"whole, closed", kEndless, false, false},
      {"whole, reset", kEndless, true, false},
      {"stream, closed", kEndlessStream, false, false},
      {"stream, reset", kEndlessStream, true, false},
      {"whole, closed, pipelined", kEndless, false, true},
  };
  Site site(endless_script());
  std::size_t cancelled = 0;
  for (const Case& c : kCases) {
    TestClient client(site.port());
    client.post("/v1/completions", c.body);
    ASSERT_TRUE(eventually([&] { return site.engine.running() == 1; })) << c.name;
    if (c.pipelined) {
      client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
      std::this_thread::sleep_for(milliseconds{50});
    }
    if (c.reset) client.reset();
    client.close();
    ASSERT_TRUE(eventually([&] { return site.engine.running() == 0; })) << c.name;
    EXPECT_EQ(site.engine.cancelled(), ++cancelled) << c.name;
  }
}

// Protects: a stop string frees the engine's place though the engine knows nothing of text.
TEST(HttpServer, StopStringCancels) {
  Site site(endless_script());
  TestClient client(site.port());
  const json::value answer =
      client.ask("/v1/completions", R"({"prompt": "x", "max_tokens": 2000, "stop": ["la la"]})")
          .json();
  EXPECT_EQ(answer.at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(answer.at("choices").at(0).at("stop_reason"), "la la");
  EXPECT_TRUE(eventually([&] { return site.engine.running() == 0; }));
  EXPECT_EQ(site.engine.cancelled(), 1u);
}

// Protects: pipelined requests are answered in order, one byte at a time being enough.
TEST(HttpServer, ToleratesPipeliningAndSplitPackets) {
  Site site(script_of("a"));
  TestClient client(site.port());
  client.send(
      "GET /version HTTP/1.1\r\nHost: t\r\n\r\nGET /health HTTP/1.1\r\nHost: t\r\n\r\n"
      "GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(client.receive().json().as_object().contains("version"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive().status, 404);
  const std::string body = R"({"prompt": "x"})";
  const std::string request =
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  for (const char byte : request) {
    client.send({&byte, 1});
    std::this_thread::sleep_for(milliseconds{1});
  }
  EXPECT_EQ(client.receive().status, 200);
}

// Protects: chunked request bodies, Expect: 100-continue and HTTP/1.0.
TEST(HttpServer, SpeaksHttp) {
  Site site(script_of("a b"));
  TestClient chunked(site.port());
  chunked.send(
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
      "Content-Type: application/json; charset=utf-8\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(chunked.receive().status, 100);
  chunked.send("7\r\n{\"promp\r\n8\r\nt\": \"x\"}\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.receive().status, 200);

  const std::string body = R"({"prompt": "x", "stream": true})";
  TestClient old(site.port());
  old.send("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body);
  TestResponse response = old.receive();
  EXPECT_EQ(response.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(sse_data(response.body).back(), "[DONE]");
}

// Protects: a hundred clients at once, each getting its own answer, several times over.
TEST(HttpServer, ServesAHundredConnections) {
  FakeEngine::Script script = script_of("a b c d");
  script.tick = milliseconds{1};
  Site site(script);
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 100; ++i) {
    clients.emplace_back([&, i] {
      TestClient client(site.port());
      for (int round = 0; round < 3; ++round) {
        const std::string prompt = "client " + std::to_string(i);
        const TestResponse response =
            client.ask("/v1/completions", R"({"echo": true, "prompt": ")" + prompt + "\"}");
        good += response.status == 200 &&
                response.json().at("choices").at(0).at("text").as_string().starts_with(prompt);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 300);
  EXPECT_EQ(site.engine.running(), 0u);
}

// Protects: an engine that gives up by itself is an error too, not a cut answer that says 200.
TEST(HttpServer, EngineThatStopsIsAnError) {
  Site site(endless_script());
  TestClient whole(site.port()), stream(site.port());
  whole.post("/v1/completions", kEndless);
  stream.post("/v1/completions", kEndlessStream);
  ASSERT_TRUE(eventually([&] { return site.engine.running() == 2; }));
  site.engine.stop();
  EXPECT_EQ(whole.receive().status, 503);
  const std::vector<std::string> events = sse_data(stream.receive().body);
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(json::parse(events[events.size() - 2]).at("error").at("code"), 503);
}

// Protects: stop() ends running generations in an error and closes idle connections, soon.
TEST(HttpServer, StopsGracefully) {
  Site site(endless_script());
  TestClient idle(site.port()), whole(site.port()), stream(site.port());
  whole.post("/v1/completions", kEndless);
  stream.post("/v1/completions", kEndlessStream);
  ASSERT_TRUE(eventually([&] { return site.engine.running() == 2; }));
  const auto begin = std::chrono::steady_clock::now();
  site.server->stop();
  site.server->wait();
  const TestResponse refused = whole.receive();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json().at("error").at("message"), "the server is shutting down");
  const std::vector<std::string> events = sse_data(stream.receive().body);
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(json::parse(events[events.size() - 2]).at("error").at("code"), 503);
  for (std::size_t i = 0; i + 2 < events.size(); ++i) {
    EXPECT_EQ(json::parse(events[i]).at("choices").at(0).at("finish_reason"), nullptr);
  }
  EXPECT_TRUE(idle.at_end());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{3});
  EXPECT_TRUE(eventually([&] { return site.engine.running() == 0; }));
}

// Protects: destroying a server in full swing neither hangs nor leaves the engine calling into it.
TEST(HttpServer, DiesInFullSwing) {
  Site site(endless_script());
  TestClient stream(site.port());
  stream.post("/v1/completions", kEndlessStream);
  ASSERT_TRUE(eventually([&] { return site.engine.running() == 1; }));
  site.server.reset();
  EXPECT_TRUE(eventually([&] { return site.engine.running() == 0; }));
}

// Protects: SIGTERM ends wait() the orderly way.
TEST(HttpServer, SigtermEndsWait) {
  Site site(script_of("a"));
  site.server->heed_signals();
  std::thread killer([&] {
    std::this_thread::sleep_for(milliseconds{200});
    std::raise(SIGTERM);
  });
  site.server->wait();
  killer.join();
}

// Protects: an address that is taken is an error with the address in it, not an abort.
TEST(HttpServer, ReportsATakenPort) {
  Site site(script_of("a"));
  ServerConfig config = test_config();
  config.port = site.port();
  const auto second = HttpServer::listen(config);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Errc::kIo);
  EXPECT_NE(second.error().message.find(std::to_string(site.port())), std::string::npos);
  config.host = "no.such.host.invalid";
  EXPECT_FALSE(HttpServer::listen(config).ok());
}

// Protects: vLLM's shapes of /tokenize and /detokenize, and that one undoes the other.
TEST(HttpServer, TokenizesAndDetokenizes) {
  Site site(script_of("a"));
  TestClient client(site.port());
  const json::value tokens =
      client.ask("/tokenize", R"({"prompt": "你好 world", "add_special_tokens": false})").json();
  EXPECT_EQ(tokens.at("count").as_int64(),
            static_cast<std::int64_t>(tokens.at("tokens").as_array().size()));
  EXPECT_EQ(tokens.at("max_model_len"), 2048);
  const json::value text =
      client.ask("/detokenize", R"({"tokens": )" + json::serialize(tokens.at("tokens")) + "}")
          .json();
  EXPECT_EQ(text.at("prompt"), "你好 world");
  EXPECT_EQ(client.ask("/detokenize", R"({"tokens": [99999999]})").status, 400);
  EXPECT_EQ(client.ask("/tokenize", R"({})").status, 400);
}

}  // namespace
}  // namespace bitcpm
