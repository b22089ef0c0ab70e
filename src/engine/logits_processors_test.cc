#include "engine/logits_processors.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace bitcpm {
namespace {

constexpr float kBan = -std::numeric_limits<float>::infinity();

Sequence sequence_of(SamplingParams params, std::vector<TokenId> prompt,
                     const std::vector<TokenId>& output) {
  Sequence sequence(1, std::move(prompt), std::move(params));
  sequence.tokens.insert(sequence.tokens.end(), output.begin(), output.end());
  return sequence;
}

// Protects: which logits each rule changes, to what, that rules apply in vLLM's order, and that
// what is left alone is said to be.
TEST(LogitsProcessors, Rules) {
  struct Case {
    const char* name;
    std::function<void(SamplingParams&)> change;
    std::vector<TokenId> prompt, output;
    std::vector<float> want;  // of {3, -2, 1, 0.5}
  };
  const auto penalties = [](float repetition, float presence, float frequency) {
    return [=](SamplingParams& p) {
      p.repetition_penalty = repetition;
      p.presence_penalty = presence;
      p.frequency_penalty = frequency;
    };
  };
  const auto words = [](std::vector<std::vector<TokenId>> list) {
    return [list = std::move(list)](SamplingParams& p) { p.bad_words = list; };
  };
  const Case kCases[] = {
      {"allowed",
       [](auto& p) {
         p.allowed_token_ids = {2, 1, 2};
       },
       {0},
       {},
       {kBan, -2, 1, kBan}},
      {"a word of one id, always", words({{0}}), {1}, {}, {kBan, -2, 1, 0.5f}},
      {"a word whose beginning is the output's end",
       words({{2, 3, 0}}),
       {1},
       {1, 2, 3},
       {kBan, -2, 1, 0.5f}},
      {"a word whose beginning is the whole output",
       words({{2, 3, 0}}),
       {1},
       {2, 3},
       {kBan, -2, 1, 0.5f}},
      {"the prompt is not output", words({{2, 3, 0}}), {1, 2}, {3}, {3, -2, 1, 0.5f}},
      {"a beginning further back", words({{2, 3, 0}}), {1}, {2, 3, 1}, {3, -2, 1, 0.5f}},
      {"two words", words({{3}, {2, 1}, {1, 2}}), {1}, {2}, {3, kBan, 1, kBan}},
      {"bias on a banned id",
       [](auto& p) {
         p.allowed_token_ids = {1};
         p.logit_bias = {{0, 100.0f}, {1, 1.0f}};
       },
       {0},
       {},
       {kBan, -1, kBan, kBan}},
      {"bias, then penalty",
       [](auto& p) {
         p.logit_bias = {{0, 1.0f}};
         p.repetition_penalty = 2;
       },
       {0},
       {},
       {2, -2, 1, 0.5f}},
      {"a penalty leaves a ban",
       [](auto& p) {
         p.bad_words = {{0}};
         p.frequency_penalty = -2;
         p.repetition_penalty = 0.5f;
       },
       {0},
       {0},
       {kBan, -2, 1, 0.5f}},
      {"repetition, positive and negative, once each",
       penalties(2, 0, 0),
       {0, 0, 1},
       {0, 1},
       {1.5f, -4, 1, 0.5f}},
      {"presence and frequency, output only",
       penalties(1, 0.5f, 0.25f),
       {1, 1},
       {0, 2, 2},
       {2.25f, -2, 0, 0.5f}},
      {"min_tokens",
       [](auto& p) {
         p.min_tokens = 2;
         p.stop_token_ids = {3};
       },
       {0},
       {1},
       {kBan, -2, 1, kBan}},
  };
  for (const Case& c : kCases) {
    SamplingParams params;
    c.change(params);
    Sequence sequence = sequence_of(params, c.prompt, c.output);
    LogitsProcessors processors({0});
    EXPECT_TRUE(adjusts_logits(sequence)) << c.name;
    for (int again = 0; again < 2; ++again) {
      std::vector<float> logits = {3, -2, 1, 0.5f};
      processors.apply(logits, sequence);
      EXPECT_EQ(logits, c.want) << c.name << (again == 1 ? ", again" : "");
    }
  }
  EXPECT_FALSE(adjusts_logits(sequence_of({}, {1}, {2})));
}

}  // namespace
}  // namespace bitcpm
