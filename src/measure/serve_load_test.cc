#include "measure/serve_load.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "io/reader_testing.h"
#include "measure/echo_logprobs.h"
#include "measure/event_lines.h"

namespace bitcpm {
namespace {

// Protects: percentiles are NumPy's (numpy.percentile's default method).
TEST(Percentile, IsNumPys) {
  EXPECT_DOUBLE_EQ(percentile({3, 1, 2, 4}, 50), 2.5);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4, 5}, 90), 4.6);
  EXPECT_DOUBLE_EQ(percentile({1, 2}, 99), 1.99);
  EXPECT_DOUBLE_EQ(percentile({7}, 99), 7);
  EXPECT_DOUBLE_EQ(percentile({7, 9}, 100), 9);
  EXPECT_DOUBLE_EQ(percentile({7, 9}, 0), 7);
}

std::vector<RequestOutcome> two_and_a_failure() {
  return {{"", 0, 0.1, {0.2, 0.3}, 0.6, 10, 3},
          {"", 0.5, 0.2, {}, 0.2, 20, 1},
          {"HTTP 500", 0.6, 0, {}, 0, 30, 0}};
}

// Protects: what vLLM's field names mean; what failed counts nowhere but as failed.
TEST(ServeMetrics, AreVllms) {
  Goodput goodput;
  ASSERT_TRUE(parse_goodput("ttft:150", goodput).ok());
  const json::object m = serve_metrics(two_and_a_failure(), 2, goodput, {90, 99.9}, true);
  const auto number = [&](const char* key) { return m.at(key).to_number<double>(); };
  EXPECT_EQ(number("completed"), 2);
  EXPECT_EQ(number("failed"), 1);
  EXPECT_EQ(number("total_input_tokens"), 30);
  EXPECT_EQ(number("total_output_tokens"), 4);
  EXPECT_DOUBLE_EQ(number("request_throughput"), 1);
  EXPECT_DOUBLE_EQ(number("request_goodput"), 0.5);
  EXPECT_DOUBLE_EQ(number("output_throughput"), 2);
  EXPECT_DOUBLE_EQ(number("total_token_throughput"), 17);
  EXPECT_NEAR(number("mean_ttft_ms"), 150, 1e-9);
  EXPECT_NEAR(number("std_ttft_ms"), 50, 1e-9);
  EXPECT_NEAR(number("p90_ttft_ms"), 190, 1e-9);
  EXPECT_NEAR(number("mean_tpot_ms"), 250, 1e-9);  // only the first has a second token
  EXPECT_NEAR(number("median_itl_ms"), 250, 1e-9);
  EXPECT_NEAR(number("mean_e2el_ms"), 400, 1e-9);
  EXPECT_TRUE(m.contains("p99.9_itl_ms"));
  EXPECT_EQ(m.at("errors").as_array().size(), 3u);
}

// Protects: with no answer at all there are no figures, instead of zeros that look like some.
TEST(ServeMetrics, OfNothingAreNull) {
  const json::object m = serve_metrics({{"refused", 0, 0, {}, 0, 1, 0}}, 1, {}, {99}, false);
  EXPECT_TRUE(m.at("mean_ttft_ms").is_null());
  EXPECT_TRUE(m.at("p99_e2el_ms").is_null());
  EXPECT_TRUE(m.at("request_goodput").is_null());
  EXPECT_FALSE(m.contains("errors"));
}

TEST(Goodput, RefusesWhatIsNoLimit) {
  for (const char* text :
       {"", "ttft", "ttft:", "ttft:0", "ttft:-3", "ttft:x", "itl:3", "ttft:1e999"}) {
    Goodput goodput;
    EXPECT_FALSE(parse_goodput(text, goodput).ok()) << text;
  }
}

// Protects: events are found however the network cuts the body.
TEST(EventLines, WhereverTheBodyIsCut) {
  const std::string body = "data: a\n\n: comment\nevent: x\r\ndata:b\r\n\r\ndata: [DONE]\n\n";
  for (std::size_t size = 1; size <= body.size(); ++size) {
    EventLines lines;
    std::vector<std::string> found;
    const auto use = [&](std::string_view data) { found.emplace_back(data); };
    for (std::size_t at = 0; at < body.size(); at += size) {
      ASSERT_TRUE(lines.push(std::string_view(body).substr(at, size), use));
    }
    EXPECT_EQ(found, (std::vector<std::string>{"a", "b", "[DONE]"})) << size;
  }
  EventLines endless;
  const std::string piece(EventLines::kMaxLineBytes, 'x');
  EXPECT_TRUE(endless.push(piece, [](std::string_view) {}));
  EXPECT_FALSE(endless.push("x", [](std::string_view) {}));
}

// Protects: the addresses that users write, and those that are none.
TEST(HttpBase, OfWhatUsersWrite) {
  struct Case {
    const char* url;
    const char* text;
  };
  const Case kGood[] = {{"http://127.0.0.1:8000", "http://127.0.0.1:8000"},
                        {"localhost:80", "http://localhost:80"},
                        {"http://h", "http://h:80"},
                        {"http://h:1/v1/", "http://h:1"},
                        {"http://h:1/proxy/v1", "http://h:1/proxy"},
                        {"http://[::1]:8000", "http://[::1]:8000"},
                        {"https://api.example.com/v1", "https://api.example.com:443"},
                        {"https://[::1]:8443/x/", "https://[::1]:8443/x"}};
  for (const Case& c : kGood) EXPECT_EQ(parse_http_base(c.url).value().text(), c.text) << c.url;
  for (const char* bad : {"", "http://", "http://h:", "http://h:x", "http://h:123456", "http://:80",
                          "https://", "ftp://h/x y", "http://a b", "http://h\n"}) {
    EXPECT_FALSE(parse_http_base(bad).ok()) << bad;
  }
  EXPECT_FALSE(parse_http_base("http://h").value().is_https);
  EXPECT_TRUE(parse_http_base("https://h").value().is_https);
}

// Protects: prompts of a file, and which line is wrong.
TEST(ParsePrompts, OfVllmsCustomDataset) {
  const auto prompts =
      parse_prompts("{\"prompt\":\"a\"}\n\n{\"prompt\":\"b\",\"output_tokens\":3}\n", 7).value();
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].output_tokens, 7u);
  EXPECT_EQ(prompts[1].text, "b");
  EXPECT_EQ(prompts[1].output_tokens, 3u);
  struct Case {
    const char* text;
    const char* reason;
  };
  const Case kBad[] = {{"", "no prompts"},
                       {"{\"prompt\":\"a\"}\n{\"text\":1}", "line 2"},
                       {"{\"prompt\":\"\"}", "line 1"},
                       {"{\"prompt\":\"a\",\"output_tokens\":0}", "output_tokens"},
                       {"{\"prompt\":\"a\",\"output_tokens\":\"x\"}", "output_tokens"},
                       {"nonsense", "line 1"}};
  for (const Case& c : kBad) expect_refused(parse_prompts(c.text, 1), c.reason, c.text);
}

constexpr auto known_spelling = [](std::string_view spelling) {
  return token_of_id_spelling(spelling, 100);
};

// Protects: what an echo says, from servers that count the generated token and from those that do
// not, and the refusal of what is no echo.
TEST(ParseEcho, OfAServersAnswer) {
  const auto parse = [](const std::string& list, std::size_t prompt_tokens) {
    const json::value reply =
        json::parse("{\"choices\":[{\"logprobs\":{\"token_logprobs\":" + list + "}}]}");
    return parse_echo(reply, prompt_tokens, known_spelling);
  };
  const std::vector<double> want = {-1, -2};
  EXPECT_EQ(parse("[null,-1,-2,-3]", 3).value().logprobs, want);
  EXPECT_EQ(parse("[null,-1,-2]", 3).value().logprobs, want);
  EXPECT_EQ(parse("[null,-1,-2,-3]", 0).value().logprobs, want);
  expect_refused(parse("[-3]", 3), "does not echo", "no echo");
  expect_refused(parse("[null,-1]", 3), "scores 2 tokens", "too few");
  expect_refused(parse("[null,-1,-2,-3,-4]", 3), "scores 5 tokens", "too many");
  expect_refused(parse("[null,-1,null,-3]", 3), "log-probability 2", "a null");
  expect_refused(parse("[null,-1,2,-3]", 3), "log-probability 2", "above one");
  expect_refused(parse("null", 3), "token_logprobs", "null");
}

// Protects: the most likely tokens are those of their place, in order, whatever order the object
// has and whatever else it holds.
TEST(ParseEcho, MostLikelyTokens) {
  const json::value reply = json::parse(R"({"choices": [{"logprobs": {
      "token_logprobs": [null, -1, -2, -3],
      "top_logprobs": [null, {"token_id:7": -2.5, "token_id:3": -1, "token_id:100": -4, " a": -5},
                       null, {"token_id:-1": -1, "token_id:4x": "no", "token_id:0": -0.5}]}}]})");
  const EchoScores scores = parse_echo(reply, 3, known_spelling).value();
  const auto ids = [](const std::vector<TokenLogprob>& top) {
    std::vector<TokenId> list;
    for (const TokenLogprob& entry : top) list.push_back(entry.token);
    return list;
  };
  ASSERT_EQ(scores.tops.size(), 3u);
  EXPECT_EQ(ids(scores.tops[0]), (std::vector<TokenId>{3, 7, -1, -1}));
  EXPECT_EQ(scores.tops[0][1].logprob, -2.5);
  EXPECT_TRUE(scores.tops[1].empty());
  EXPECT_EQ(ids(scores.tops[2]), (std::vector<TokenId>{0, -1}));
}

}  // namespace
}  // namespace bitcpm
