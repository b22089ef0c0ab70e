#include "engine/request_check.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace bitcpm {
namespace {

constexpr EngineConfig kConfig{.max_model_len = 32};
constexpr std::int32_t kVocab = 100;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Protects: no parameter outside its range reaches the engine, and the message names it.
TEST(RequestCheck, NamesWhatIsWrong) {
  struct Case {
    const char* name;  // expected in the message
    std::function<void(SamplingParams&)> change;
  };
  const Case kCases[] = {
      {"temperature", [](auto& p) { p.temperature = -0.1f; }},
      {"temperature", [](auto& p) { p.temperature = 2.1f; }},
      {"temperature", [](auto& p) { p.temperature = kNan; }},
      {"temperature", [](auto& p) { p.temperature = kInf; }},
      {"top_p", [](auto& p) { p.top_p = 0; }},
      {"top_p", [](auto& p) { p.top_p = 1.01f; }},
      {"top_k", [](auto& p) { p.top_k = -2; }},
      {"min_p", [](auto& p) { p.min_p = 1.5f; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = 3; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = kNan; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 0; }},
      {"max_tokens", [](auto& p) { p.max_tokens = 0; }},
      {"maximum context length is 32", [](auto& p) { p.max_tokens = 30; }},
      {"maximum context length is 32", [](auto& p) { p.max_tokens = 1 << 30; }},
      {"min_tokens", [](auto& p) { p.min_tokens = 17; }},
      {"logprobs", [](auto& p) { p.logprobs = 21; }},
      {"prompt_logprobs", [](auto& p) { p.prompt_logprobs = -2; }},
      {"stop_token_ids", [](auto& p) { p.stop_token_ids = {100}; }},
      {"stop_token_ids", [](auto& p) { p.stop_token_ids.assign(129, 1); }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{-1, 0.0f}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, 101.0f}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, kNan}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias.assign(1025, {1, 0.0f});
       }},
  };
  const std::vector<TokenId> prompt = {1, 2, 3};
  ASSERT_TRUE(check_request(prompt, {}, kConfig, kVocab).ok());
  for (const Case& c : kCases) {
    SamplingParams params;
    c.change(params);
    const Status status = check_request(prompt, params, kConfig, kVocab);
    ASSERT_FALSE(status.ok()) << c.name;
    EXPECT_EQ(status.error().code, Errc::kInvalid);
    EXPECT_NE(status.error().message.find(c.name), std::string::npos) << status.error().message;
  }
}

// Protects: prompts that no model could read.
TEST(RequestCheck, RefusesBadPrompts) {
  EXPECT_FALSE(check_request({}, {}, kConfig, kVocab).ok());
  for (const TokenId id : {-1, 100, std::numeric_limits<TokenId>::max()}) {
    const std::vector<TokenId> prompt = {1, id};
    EXPECT_FALSE(check_request(prompt, {}, kConfig, kVocab).ok()) << id;
  }
  EXPECT_FALSE(check_request(std::vector<TokenId>(17, 1), {}, kConfig, kVocab).ok());
  EXPECT_TRUE(check_request(std::vector<TokenId>(16, 1), {}, kConfig, kVocab).ok());
}

}  // namespace
}  // namespace bitcpm
