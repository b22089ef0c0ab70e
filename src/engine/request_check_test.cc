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
      {"logprobs must be in [0, 20]", [](auto& p) { p.logprobs = -1; }},
      {"prompt_logprobs", [](auto& p) { p.prompt_logprobs = -2; }},
      {"logprob_token_ids",
       [](auto& p) {
         p.logprob_token_ids = {1, 100};
       }},
      {"logprob_token_ids", [](auto& p) { p.logprob_token_ids.assign(129, 1); }},
      {"number of logprob_token_ids",
       [](auto& p) {
         p.logprob_token_ids = {1, 2};
         p.logprobs = 3;
       }},
      {"allowed_token_ids",
       [](auto& p) {
         p.allowed_token_ids = {5, 100};
       }},
      {"allowed_token_ids", [](auto& p) { p.allowed_token_ids = {-1}; }},
      {"allowed_token_ids", [](auto& p) { p.allowed_token_ids.assign(101, 1); }},
      {"bad_words",
       [](auto& p) {
         p.bad_words = {{1}, {}};
       }},
      {"bad_words",
       [](auto& p) {
         p.bad_words = {{1, 2, 100}};
       }},
      {"bad_words", [](auto& p) { p.bad_words.assign(1025, {1}); }},
      {"bad_words", [](auto& p) { p.bad_words.assign(1000, std::vector<TokenId>(9, 1)); }},
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

// Protects: -1 is the whole vocabulary where max_logprobs allows that many, and an answer that no
// memory could hold is refused before it is begun.
TEST(RequestCheck, WholeVocabularyLogprobs) {
  struct Case {
    std::int32_t max_logprobs;
    std::size_t prompt_tokens;
    const char* wrong;  // empty: accepted
  };
  const Case kCases[] = {
      {-1, 3, ""}, {100, 3, ""}, {99, 3, "[0, 99], got -1"}, {-1, 200000, "entries, more than"}};
  for (const Case& c : kCases) {
    const EngineConfig config{.max_model_len = 1 << 20, .max_logprobs = c.max_logprobs};
    SamplingParams params;
    params.logprobs = -1;
    params.prompt_logprobs = -1;
    const Status status =
        check_request(std::vector<TokenId>(c.prompt_tokens, 1), params, config, kVocab);
    EXPECT_EQ(status.ok(), *c.wrong == '\0');
    if (!status.ok()) {
      EXPECT_NE(status.error().message.find(c.wrong), std::string::npos) << status.error().message;
    }
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
