#include "server/metrics.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "server/test_site.h"

namespace bitcpm {
namespace {

std::string scrape(std::uint16_t port) {
  TestClient client(port);
  client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
  const TestResponse response = client.receive();
  EXPECT_EQ(response.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return response.body;
}

// Protects vLLM's dashboards: names, labels and counts after known requests.
TEST(Metrics, CountsRequests) {
  Site site(script_of("one two"));
  TestClient client(site.port());
  const auto tokens = client.ask("/v1/completions", R"({"prompt": "x", "n": 2})")
                          .json()
                          .at("usage")
                          .at("completion_tokens")
                          .as_int64() /
                      2;
  ASSERT_GT(tokens, 2);
  client.ask("/v1/completions", R"({"prompt": "x", "max_tokens": 1, "stream": true})");
  client.ask("/v1/completions", R"({"prompt": 7})");
  const std::string text = scrape(site.port());
  const std::string labels = R"({engine="0",model_name="/path/to/model/")";
  const std::string inter_token = std::to_string(2 * (tokens - 1));
  for (const std::string& line :
       {"vllm:request_success_total" + labels + R"(,finished_reason="stop"} 2)",
        "vllm:request_success_total" + labels + R"(,finished_reason="length"} 1)",
        "vllm:request_success_total" + labels + R"(,finished_reason="abort"} 0)",
        "vllm:time_to_first_token_seconds_count" + labels + "} 3",
        "vllm:inter_token_latency_seconds_count" + labels + "} " + inter_token,
        "vllm:e2e_request_latency_seconds_count" + labels + "} 3",
        "vllm:request_params_n_bucket" + labels + R"(,le="2.0"} 3)",
        "vllm:request_params_n_sum" + labels + "} 5",
        "vllm:admission_rejections_total" + labels + R"(,reason="max_num_queued_reqs"} 0)",
        "vllm:request_params_max_tokens_bucket" + labels + R"(,le="2000.0"} 3)",
        std::string(
            R"(http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 2)"),
        std::string(
            R"(http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 1)")}) {
    EXPECT_NE(text.find(line + "\n"), std::string::npos) << line << "\n" << text;
  }
  EXPECT_NE(text.find("process_resident_memory_bytes "), std::string::npos);
}

// Protects cardinality and the format: strangers' paths and methods make no labels, a model's name
// is escaped.
TEST(Metrics, StrangersMakeNoLabels) {
  FakeEngine engine(script_of("a"));
  const std::unique_ptr<HttpServer> server = HttpServer::listen(test_config()).value();
  ServedModel model;
  model.names = {"a\"b\\c\nd"};
  server->serve(model, engine.port(), test_tokenizer(), test_template());
  for (const char* request : {"GET /x1 HTTP/1.1\r\n\r\n", "BREW /x2 HTTP/1.1\r\n\r\n"}) {
    TestClient client(server->port());
    client.send(request);
    client.receive();
  }
  const std::string text = scrape(server->port());
  EXPECT_EQ(text.find("/x"), std::string::npos);
  EXPECT_NE(text.find(R"(handler="none",method="other",status="4xx"} 1)"), std::string::npos)
      << text;
  EXPECT_NE(text.find(R"(model_name="a\"b\\c\nd")"), std::string::npos);
}

// Protects the text format: every line of a real scrape passes Prometheus' own checker. Two of its
// rules of style are vLLM's to break: colons in names, and a histogram named _total.
TEST(Metrics, PromtoolAccepts) {
  const std::string path =
      "PATH=\"$PATH:" + std::string(BITCPM_SOURCE_DIR) + "/build/tools/usr/bin\" ";
  if (std::system((path + "sh -c 'command -v promtool' >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << "needs promtool: scripts/setup.sh metrics";
  }
  Site site(script_of("one two"));
  TestClient client(site.port());
  client.ask("/v1/completions", R"({"prompt": "x"})");
  const std::string file = testing::TempDir() + "/bitcpm_metrics.txt";
  std::ofstream(file) << scrape(site.port());
  FILE* tool = ::popen((path + "promtool check metrics < " + file + " 2>&1").c_str(), "r");
  ASSERT_NE(tool, nullptr);
  char line[1024];
  while (std::fgets(line, sizeof line, tool) != nullptr) {
    const std::string complaint = line;
    const bool is_vllms = complaint.find("should not contain ':'") != std::string::npos ||
                          complaint.find("vllm:iteration_tokens_total non-counter") == 0;
    EXPECT_TRUE(is_vllms) << complaint;
  }
  ::pclose(tool);
}

}  // namespace
}  // namespace bitcpm
