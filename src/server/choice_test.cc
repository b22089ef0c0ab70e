#include "server/choice.h"

#include <gtest/gtest.h>

#include "server/openai_json.h"
#include "server/test_support.h"

namespace bitcpm {
namespace {

PreparedRequest request_of(std::string_view body) {
  RequestLimits limits;
  limits.served_model_names = {"tiny"};
  limits.max_model_len = 64;
  limits.vocab_size = test_tokenizer().vocab_size();
  auto prepared = prepare_completion(body, limits, {test_tokenizer(), test_template()});
  if (const auto* error = std::get_if<ApiError>(&prepared)) ADD_FAILURE() << error->message;
  return std::get<PreparedRequest>(std::move(prepared));
}

std::string refusal_of(std::string_view body) {
  RequestLimits limits;
  limits.served_model_names = {"tiny"};
  limits.max_model_len = 64;
  limits.vocab_size = test_tokenizer().vocab_size();
  const auto prepared = prepare_completion(body, limits, {test_tokenizer(), test_template()});
  const auto* error = std::get_if<ApiError>(&prepared);
  return error == nullptr ? "" : std::to_string(error->status) + " " + error->message;
}

EngineEvent token_event(TokenId token, float logprob = -0.25f) {
  EngineEvent event;
  event.token = token;
  event.logprobs = TokenLogprobs{{token, logprob}, 1, {{token, logprob}}};
  return event;
}

// Feeds a text token by token, then the end if the choice still wants one.
ChoiceDelta feed(Choice& choice, std::string_view text, FinishReason finish,
                 std::optional<TokenId> stop_token = std::nullopt) {
  ChoiceDelta all;
  for (const TokenId id : continuation(text)) all.merge(choice.accept(token_event(id)));
  EngineEvent last;
  last.finish = finish;
  last.token = last.stop_token = stop_token;
  all.merge(choice.accept(std::move(last)));
  return all;
}

// Protects: the text a client gets is the text of the tokens, in both languages.
TEST(Choice, TextFollowsTheTokens) {
  for (const std::string text : {"Hello, world", "你好,请介绍一下你自己", "emoji 😀 and é"}) {
    const PreparedRequest request = request_of(R"({"prompt": "x"})");
    Choice choice(test_tokenizer(), request, request.prompts[0]);
    const ChoiceDelta all = feed(choice, text, FinishReason::kLength);
    EXPECT_EQ(all.text.substr(all.text.find_first_not_of(' ')), text);
    EXPECT_EQ(all.finish_reason, "length");
    EXPECT_EQ(choice.completion_tokens(), static_cast<int>(all.token_ids.size()));
  }
}

// Protects: a stop string ends the choice at once, is named, and later events change nothing.
TEST(Choice, StopStringEndsTheChoice) {
  const PreparedRequest request = request_of(R"({"prompt": "x", "stop": ["B"]})");
  Choice choice(test_tokenizer(), request, request.prompts[0]);
  const ChoiceDelta all = feed(choice, "A B C", FinishReason::kCancelled);
  EXPECT_EQ(all.text.find('B'), std::string::npos);
  EXPECT_NE(all.text.find('A'), std::string::npos);
  EXPECT_EQ(all.finish_reason, "stop");
  EXPECT_EQ(std::get<std::string>(all.stop_reason), "B");
  const std::int32_t tokens = choice.completion_tokens();
  EXPECT_TRUE(choice.accept(token_event(5)).text.empty());
  EXPECT_EQ(choice.completion_tokens(), tokens);
}

// Protects: an eos says nothing in stop_reason, a stop id of the request names itself; neither
// shows in the text unless asked for.
TEST(Choice, StopTokens) {
  struct Case {
    const char* fields;
    TokenId stop;
    bool named;
    bool shown;
  };
  const Case kCases[] = {
      {"", 2, false, false},
      {R"(, "stop_token_ids": [300])", 300, true, false},
      {R"(, "stop_token_ids": [300], "include_stop_str_in_output": true)", 300, true, true},
      {R"(, "skip_special_tokens": false)", 2, false, false},
  };
  for (const Case& c : kCases) {
    const PreparedRequest request = request_of(std::string(R"({"prompt": "x")") + c.fields + "}");
    Choice choice(test_tokenizer(), request, request.prompts[0]);
    const ChoiceDelta all = feed(choice, "A", FinishReason::kStop, c.stop);
    EXPECT_EQ(all.finish_reason, "stop");
    EXPECT_EQ(std::holds_alternative<TokenId>(all.stop_reason), c.named) << c.fields;
    const std::string text = all.text.substr(all.text.find_first_not_of(' '));
    EXPECT_EQ(text != "A", c.shown) << c.fields << all.text;
    EXPECT_EQ(choice.completion_tokens(), static_cast<int>(continuation("A").size()) + 1);
  }
}

// Protects: before min_tokens no stop string counts.
TEST(Choice, MinTokensHoldOffStopStrings) {
  const std::size_t count = continuation("A B").size();
  const PreparedRequest request =
      request_of(R"({"prompt": "x", "stop": "B", "min_tokens": )" + std::to_string(count) + "}");
  Choice choice(test_tokenizer(), request, request.prompts[0]);
  const ChoiceDelta all = feed(choice, "A B", FinishReason::kLength);
  EXPECT_NE(all.text.find('B'), std::string::npos);
  EXPECT_EQ(all.finish_reason, "length");
}

// Protects: with echo and max_tokens 0 only the prompt comes back, with its logprobs, and text
// offsets point at the tokens' places in the text.
TEST(Choice, EchoReturnsThePrompt) {
  const PreparedRequest request =
      request_of(R"({"prompt": "Hello 你好", "echo": true, "max_tokens": 0, "logprobs": 1})");
  EXPECT_EQ(request.options.sampling.max_tokens, 1);
  EXPECT_EQ(request.options.sampling.prompt_logprobs, 1);
  const PreparedPrompt& prompt = request.prompts[0];
  Choice choice(test_tokenizer(), request, prompt);
  EngineEvent event = token_event(7);
  for (std::size_t i = 1; i < prompt.ids.size(); ++i) {
    event.prompt_logprobs.push_back({{prompt.ids[i], -1.5f}, 3, {{9, -0.5f}}});
  }
  event.finish = FinishReason::kLength;
  const ChoiceDelta all = choice.accept(std::move(event));
  EXPECT_EQ(all.text, "Hello 你好");
  EXPECT_EQ(choice.completion_tokens(), 0);
  EXPECT_EQ(all.finish_reason, "length");
  ASSERT_EQ(all.rows.size(), prompt.ids.size());
  EXPECT_FALSE(all.rows[0].logprobs.has_value());
  EXPECT_EQ(all.rows.back().logprobs->chosen.logprob, -1.5f);
  EXPECT_EQ(all.rows[0].text_offset, 0u);
  EXPECT_EQ(all.rows.back().text_offset,
            8u - count_characters(TokenText(test_tokenizer(), false).bytes(prompt.ids.back())));
}

// Protects: what does not fit is refused in vLLM's words, before the engine sees it.
TEST(PreparedRequest, ChecksTheContext) {
  EXPECT_EQ(refusal_of(R"({"prompt": [1,2,3], "max_tokens": 62})"),
            "400 This model's maximum context length is 64 tokens. However, you requested 62 "
            "output tokens and your prompt contains 3 input tokens, for a total of 65 tokens. "
            "Please reduce the length of the input prompt or the number of requested output "
            "tokens.");
  EXPECT_EQ(refusal_of(R"({"prompt": [1,2,3], "max_tokens": 61})"), "");
  EXPECT_EQ(refusal_of(R"({"prompt": [1], "max_tokens": 5, "min_tokens": 6})"),
            "400 'min_tokens' must be at most max_tokens = 5, got 6");
  EXPECT_EQ(refusal_of(R"({"prompt": "x", "model": "gpt"})"),
            "404 The model `gpt` does not exist.");
  EXPECT_EQ(refusal_of("[]"), "400 the body must be a JSON object");
}

// Protects: truncation keeps the end unless told otherwise, and -1 means what fits.
TEST(PreparedRequest, Truncates) {
  struct Case {
    const char* fields;
    std::vector<TokenId> want;
  };
  const Case kCases[] = {
      {R"("truncate_prompt_tokens": 2)", {4, 5}},
      {R"("truncate_prompt_tokens": 2, "truncation_side": "right")", {1, 2}},
      {R"("truncate_prompt_tokens": 9)", {1, 2, 3, 4, 5}},
      {R"("truncate_prompt_tokens": -1, "max_tokens": 61)", {3, 4, 5}},
  };
  for (const Case& c : kCases) {
    const PreparedRequest request =
        request_of(std::string(R"({"prompt": [1,2,3,4,5], )") + c.fields + "}");
    EXPECT_EQ(request.prompts[0].ids, c.want) << c.fields;
  }
}

// Protects: different tokens never share a spelling among a vocabulary's real entries, since
// top_logprobs is an object keyed by it.
TEST(TokenText, SpellingsAreUnique) {
  const TokenText text(test_tokenizer(), false);
  std::map<std::string, TokenId> seen;
  for (TokenId id = 0; id < test_tokenizer().vocab_size(); ++id) {
    if (test_tokenizer().piece(id).empty()) continue;
    const auto [entry, is_new] = seen.emplace(text.spell(id), id);
    EXPECT_TRUE(is_new) << entry->first << " is both " << entry->second << " and " << id;
  }
}

// Protects: the exact shape of a whole answer with logprobs, and floats at their shortest.
TEST(AnswerWriter, WritesVllmsShapes) {
  const PreparedRequest request = request_of(R"({"prompt": [5], "logprobs": 1})");
  const AnswerWriter writer(test_tokenizer(), request, "id", "print", 1700000000);
  ChoiceDelta delta;
  delta.text = "Hi";
  delta.rows.push_back({9, TokenLogprobs{{9, -0.1f}, 1, {{9, -0.1f}}}, 0});
  delta.finish_reason = "length";
  json::value answer = json::parse(writer.whole({&delta, 1}, {1, 1, 0}));
  const std::string token = TokenText(test_tokenizer(), false).spell(9);
  json::object top;
  top[token] = -0.1;
  json::value want = json::parse(R"({
    "id": "cmpl-id", "object": "text_completion", "created": 1700000000, "model": "tiny",
    "choices": [{"index": 0, "text": "Hi", "finish_reason": "length", "stop_reason": null,
      "logprobs": {"text_offset": [0], "token_logprobs": [-0.1], "tokens": [], "top_logprobs": []},
      "token_ids": null, "prompt_logprobs": null, "prompt_token_ids": null}],
    "service_tier": null, "system_fingerprint": "print",
    "usage": {"prompt_tokens": 1, "total_tokens": 2, "completion_tokens": 1,
              "prompt_tokens_details": {"cached_tokens": 0}},
    "kv_transfer_params": null})");
  json::value& logprobs = want.at("choices").at(0).at("logprobs");
  logprobs.at("tokens").as_array().push_back(json::value(token));
  logprobs.at("top_logprobs").as_array().push_back(std::move(top));
  EXPECT_EQ(answer, want) << json::serialize(answer);
}

// Protects: the short way to write a chunk writes what the long one does.
TEST(AnswerWriter, PlainChunksAreLikeOthers) {
  for (const bool is_chat : {false, true}) {
    PreparedRequest request = request_of(R"({"prompt": [5]})");
    request.is_chat = is_chat;
    const AnswerWriter writer(test_tokenizer(), request, "i\"d", "print", 1700000000);
    ChoiceDelta delta;
    delta.text = "a\"\\\n\x01 你";
    const std::string plain = writer.delta_chunk(7, delta, nullptr, nullptr);
    const Usage usage{1, 2, 0};
    json::value with_usage = json::parse(writer.delta_chunk(7, delta, nullptr, &usage));
    with_usage.as_object().erase("usage");
    EXPECT_EQ(json::parse(plain), with_usage) << plain;
    EXPECT_EQ(plain.find('\n'), std::string::npos);
    delta.finish_reason = "stop";
    const json::value last = json::parse(writer.delta_chunk(7, delta, nullptr, nullptr));
    EXPECT_EQ(last.at("system_fingerprint"), "print");
  }
}

// Protects: a log-probability that JSON cannot spell becomes vLLM's floor.
TEST(AnswerWriter, NeverWritesInfinity) {
  const PreparedRequest request = request_of(R"({"prompt": [5], "logprobs": 0})");
  const AnswerWriter writer(test_tokenizer(), request, "id", "", 0);
  ChoiceDelta delta;
  for (const float bad : {-1.0f / 0.0f, std::numeric_limits<float>::quiet_NaN()}) {
    delta.rows.push_back({9, TokenLogprobs{{9, bad}, 1, {}}, 0});
  }
  const json::value chunk = json::parse(writer.delta_chunk(0, delta, nullptr, nullptr));
  const json::value& logprobs = chunk.at("choices").at(0).at("logprobs").at("token_logprobs");
  EXPECT_EQ(logprobs, json::value({-9999.0, -9999.0}));
}

}  // namespace
}  // namespace bitcpm
