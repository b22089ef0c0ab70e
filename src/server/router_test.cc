#include "server/router.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "server/openai_json.h"
#include "server/sse.h"

namespace bitcpm {
namespace {

// Protects: the routing table, HEAD beside GET, and queries being ignored.
TEST(Router, FindsRoutes) {
  struct Case {
    const char* method;
    const char* target;
    unsigned status;
  };
  const Case kCases[] = {
      {"GET", "/health", 200},          {"HEAD", "/health", 200},
      {"GET", "/health?x=1", 200},      {"POST", "/health", 405},
      {"GET", "/v1/models", 200},       {"GET", "/v1/models/", 404},
      {"POST", "/v1/completions", 200}, {"GET", "/v1/completions", 405},
      {"OPTIONS", "/v1/models", 405},   {"GET", "/", 200},
      {"POST", "/../v1/models", 404},   {"GET", "", 404},
      {"get", "/health", 405},          {"POST", "/v1/chat/completions", 200},
      {"GET", "/v1/models/tiny", 200},  {"HEAD", "/v1/models//a/b/", 200},
      {"POST", "/v1/models/tiny", 405}, {"GET", "/v1/models/?x", 404},
      {"HEAD", "/page/page.js", 200},   {"GET", "/page/", 404},
      {"GET", "/?lang=zh", 200},        {"POST", "/", 405},
  };
  for (const Case& c : kCases) {
    const auto route = find_route(c.method, c.target);
    const auto* error = std::get_if<ApiError>(&route);
    EXPECT_EQ(error == nullptr ? 200 : error->status, c.status) << c.method << ' ' << c.target;
    EXPECT_EQ(c.status == 405, error != nullptr && !error->allow.empty()) << c.target;
  }
}

// Protects: an id arrives as it was served, however a client spells its slashes.
TEST(Router, DecodesModelIds) {
  struct Case {
    const char* target;
    const char* want;
  };
  const Case kCases[] = {
      {"/v1/models/tiny", "tiny"},
      {"/v1/models/tiny?a=b", "tiny"},
      {"/v1/models//path/to/model/", "/path/to/model/"},
      {"/v1/models/%2Fpath%2fto%2Fmodel%2F", "/path/to/model/"},
      {"/v1/models/%E6%A8%A1", "模"},
      {"/v1/models/100%", "100%"},
      {"/v1/models/%4", "%4"},
      {"/v1/models/%zz%41", "%zzA"},
      {"/v1/models/a+b", "a+b"},
  };
  for (const Case& c : kCases) EXPECT_EQ(model_of(c.target), c.want) << c.target;
}

// Protects: the shape that OpenAI clients parse errors from.
TEST(ApiError, HasOpenAiShape) {
  EXPECT_EQ(
      to_json(bad_request("it's \"bad\"", "n")),
      R"({"error":{"message":"it's \"bad\"","type":"BadRequestError","param":"n","code":400}})");
  EXPECT_EQ(json::parse(to_json(not_found("x"))).at("error").at("param"), nullptr);
}

// Protects: a server's own failure tells nothing of its insides; a full queue asks to come back.
TEST(ApiError, MapsEngineErrors) {
  EXPECT_EQ(from_error({Errc::kInvalid, "empty prompt"}).status, 400u);
  const ApiError busy = from_error({Errc::kExhausted, "queue full"});
  EXPECT_EQ(busy.status, 503u);
  EXPECT_GT(busy.retry_after_s, 0);
  const ApiError broken = from_error({Errc::kIo, "/secret/path"});
  EXPECT_EQ(broken.status, 500u);
  EXPECT_EQ(broken.message.find("secret"), std::string::npos);
}

// Protects: framing that every SSE parser splits at the same place.
TEST(Sse, FramesOneEvent) {
  EXPECT_EQ(sse_event("{}"), "data: {}\n\n");
  EXPECT_EQ(kSseDone, "data: [DONE]\n\n");
  EXPECT_EQ(json::serialize(json::value("a\nb\r\u2028")).find('\n'), std::string::npos);
}

// Protects: JSON stays UTF-8 whatever a model's path holds.
TEST(ValidUtf8, ReplacesWhatIsIllFormed) {
  struct Case {
    std::string text, want;
  };
  const Case kCases[] = {
      {"plain", "plain"},
      {"模型/é/😀", "模型/é/😀"},
      {"\xff", "\uFFFD"},
      {"a\xe4\xbd", "a\uFFFD\uFFFD"},
      {"\xc0\xaf", "\uFFFD\uFFFD"},
      {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
  };
  for (const Case& c : kCases) EXPECT_EQ(valid_utf8(c.text), c.want);
}

}  // namespace
}  // namespace bitcpm
