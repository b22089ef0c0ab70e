#include <gtest/gtest.h>

#include "server/chat_request.h"
#include "server/completion_request.h"
#include "text/chat_template.h"

namespace bitcpm {
namespace {

RequestLimits limits() {
  RequestLimits limits;
  limits.served_model_names = {"tiny"};
  limits.max_model_len = 2048;
  limits.vocab_size = 1000;
  return limits;
}

Parsed<CompletionRequest> completion(const std::string& body) {
  const Result<json::value> document = parse_json(body);
  if (!document.ok()) return bad_request(document.error().message);
  FieldReader fields(document->as_object());
  return read_completion_request(fields, limits());
}

Parsed<ChatRequest> chat(const std::string& body) {
  const Result<json::value> document = parse_json(body);
  if (!document.ok()) return bad_request(document.error().message);
  FieldReader fields(document->as_object());
  return read_chat_request(fields, limits());
}

std::string repeat(const std::string& item, int count) {
  std::string list = item;
  for (int i = 1; i < count; ++i) list += "," + item;
  return list;
}

// Protects: every bad value of a completion request is a 400 that names its field.
TEST(CompletionRequest, RefusesBadFields) {
  struct Case {
    const char* fields;  // beside a good prompt
    const char* param;   // of the error
  };
  const Case kCases[] = {
      {R"("temperature": "hot")", "temperature"},
      {R"("temperature": -0.1)", "temperature"},
      {R"("temperature": 2.1)", "temperature"},
      {R"("temperature": true)", "temperature"},
      {R"("temperature": [1])", "temperature"},
      {R"("top_p": 0)", "top_p"},
      {R"("top_p": 1.5)", "top_p"},
      {R"("top_k": -2)", "top_k"},
      {R"("top_k": 1.5)", "top_k"},
      {R"("top_k": 99999999999)", "top_k"},
      {R"("min_p": 1.01)", "min_p"},
      {R"("presence_penalty": -3)", "presence_penalty"},
      {R"("frequency_penalty": 2.5)", "frequency_penalty"},
      {R"("repetition_penalty": 0)", "repetition_penalty"},
      {R"("repetition_penalty": 11)", "repetition_penalty"},
      {R"("max_tokens": -1)", "max_tokens"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_tokens": 1.5)", "max_tokens"},
      {R"("max_tokens": "16")", "max_tokens"},
      {R"("max_tokens": 18446744073709551615)", "max_tokens"},
      {R"("max_tokens": 1e30)", "max_tokens"},
      {R"("max_completion_tokens": {})", "max_completion_tokens"},
      {R"("min_tokens": -1)", "min_tokens"},
      {R"("n": 0)", "n"},
      {R"("n": 129)", "n"},
      {R"("n": 9223372036854775807)", "n"},
      {R"("n": 2, "temperature": 0)", "n"},
      {R"("best_of": 2)", "best_of"},
      {R"("seed": 9223372036854775808)", "seed"},
      {R"("seed": 0.5)", "seed"},
      {R"("stop": 7)", "stop"},
      {R"("stop": [""])", "stop"},
      {R"("stop": ["a", 1])", "stop"},
      {R"("stop": ["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"])", "stop"},
      {R"("stop_token_ids": [-1])", "stop_token_ids"},
      {R"("stop_token_ids": 5)", "stop_token_ids"},
      {R"("stop_token_ids": ["5"])", "stop_token_ids"},
      {R"("logprobs": 21)", "logprobs"},
      {R"("logprobs": true)", "logprobs"},
      {R"("logprobs": -1)", "logprobs"},
      {R"("prompt_logprobs": -1)", "prompt_logprobs"},
      {R"("prompt_logprobs": 1, "stream": true)", "prompt_logprobs"},
      {R"("logit_bias": [1])", "logit_bias"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"1000": 1})", "logit_bias"},
      {R"("logit_bias": {"-1": 1})", "logit_bias"},
      {R"("logit_bias": {"1": "a"})", "logit_bias"},
      {R"("stream": "yes")", "stream"},
      {R"("stream": 1)", "stream"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("stream": true, "stream_options": 1)", "stream_options"},
      {R"("stream": true, "stream_options": {"include_usage": 1})", "stream_options"},
      {R"("truncate_prompt_tokens": 0)", "truncate_prompt_tokens"},
      {R"("truncate_prompt_tokens": -2)", "truncate_prompt_tokens"},
      {R"("truncation_side": "middle")", "truncation_side"},
      {R"("echo": 1)", "echo"},
      {R"("model": 3)", "model"},
      {R"("suffix": "x")", "suffix"},
      {R"("use_beam_search": true)", "use_beam_search"},
      {R"("response_format": {"type": "json_object"})", "response_format"},
      {R"("response_format": "json")", "response_format"},
      {R"("structured_outputs": {"regex": "a+"})", "structured_outputs"},
      {R"("guided_json": {"type": "object"})", "guided_json"},
      {R"("guided_json": {})", "guided_json"},
      {R"("guided_choice": ["a"])", "guided_choice"},
      {R"("prompt_embeds": "AAAA")", "prompt_embeds"},
      {R"("bad_words": [""])", "bad_words"},
      {R"("bad_words": "x")", "bad_words"},
      {R"("bad_words": [1])", "bad_words"},
      {R"("allowed_token_ids": [])", "allowed_token_ids"},
      {R"("allowed_token_ids": [1000])", "allowed_token_ids"},
      {R"("allowed_token_ids": [-1])", "allowed_token_ids"},
      {R"("logprobs": 1, "logprob_token_ids": [])", "logprob_token_ids"},
      {R"("logprobs": 1, "logprob_token_ids": [1000])", "logprob_token_ids"},
      {R"("logprob_token_ids": [1])", "logprob_token_ids"},
      {R"("priority": 2147483648)", "priority"},
      {R"("priority": "high")", "priority"},
      {R"("cache_salt": "")", "cache_salt"},
      {R"("cache_salt": "a/b")", "cache_salt"},
      {R"("cache_salt": "a@b")", "cache_salt"},
      {R"("cache_salt": "a\\b")", "cache_salt"},
      {R"("cache_salt": "a\u0000b")", "cache_salt"},
      {R"("cache_salt": 7)", "cache_salt"},
      {R"("request_id": "a b")", "request_id"},
      {R"("request_id": "")", "request_id"},
      {R"("thinking_token_budget": 5)", "thinking_token_budget"},
      {R"("kv_transfer_params": {"a": 1})", "kv_transfer_params"},
      {R"("vllm_xargs": {"a": 1})", "vllm_xargs"},
      {R"("logits_processors": ["os.system"])", "logits_processors"},
      {R"("ignore_eos": "no")", "ignore_eos"},
  };
  for (const Case& c : kCases) {
    const auto parsed = completion(std::string(R"({"prompt": "hi", )") + c.fields + "}");
    const auto* error = std::get_if<ApiError>(&parsed);
    ASSERT_NE(error, nullptr) << c.fields;
    EXPECT_EQ(error->status, 400u) << c.fields;
    EXPECT_EQ(error->param, c.param) << c.fields << ": " << error->message;
    EXPECT_NE(error->message.find(c.param), std::string::npos) << error->message;
    EXPECT_EQ(error->message.find('\n'), std::string::npos) << error->message;
  }
}

// Protects: nothing but a bounded, non-empty, uniform prompt gets through.
TEST(CompletionRequest, RefusesBadPrompts) {
  const std::string kBodies[] = {
      R"({})",
      R"({"prompt": null})",
      R"({"prompt": ""})",
      R"({"prompt": []})",
      R"({"prompt": [[]]})",
      R"({"prompt": 5})",
      R"({"prompt": {"a": 1}})",
      R"({"prompt": ["a", 1]})",
      R"({"prompt": [1, "a"]})",
      R"({"prompt": ["a", [1]]})",
      R"({"prompt": [1, -1]})",
      R"({"prompt": [1.5]})",
      R"({"prompt": [4294967296]})",
      R"({"prompt": [[1], ["a"]]})",
      R"({"prompt": [[[1]]]})",
      R"({"prompt": [true]})",
      "{\"prompt\": [" + repeat("\"a\"", 1025) + "]}",
      "{\"prompt\": [" + repeat("[1]", 1025) + "]}",
      "{\"prompt\": [" + repeat("\"a\"", 9) + "], \"n\": 128}",
      "{\"prompt\": \"\xff\"}",
      R"({"prompt": "a", "prompt": "b"})",
      R"({"prompt": "a", "temperature": NaN})",
      R"({"prompt": "a", "temperature": Infinity})",
      R"({"prompt": "a", "temperature": 1e999})",
      R"({"prompt": "a", "x": )" + std::string(100, '[') + std::string(100, ']') + "}",
  };
  for (const std::string& body : kBodies) {
    const auto parsed = completion(body);
    ASSERT_TRUE(std::holds_alternative<ApiError>(parsed)) << body.substr(0, 80);
    EXPECT_EQ(std::get<ApiError>(parsed).status, 400u);
  }
}

// Protects: defaults are OpenAI's where neither request nor checkpoint says anything, and null
// means absent.
TEST(CompletionRequest, FillsInDefaults) {
  const auto parsed = completion(
      R"({"prompt": "hi", "max_tokens": null, "temperature": null, "stop": null, "user": "u"})");
  ASSERT_TRUE(std::holds_alternative<CompletionRequest>(parsed));
  const CompletionRequest& request = std::get<CompletionRequest>(parsed);
  EXPECT_EQ(request.options.model, "tiny");
  EXPECT_EQ(request.options.max_tokens, 16);
  EXPECT_EQ(request.options.sampling.temperature, 1.0f);
  EXPECT_EQ(request.options.sampling.top_p, 1.0f);
  EXPECT_EQ(request.options.sampling.top_k, 0);
  EXPECT_EQ(request.options.sampling.repetition_penalty, 1.0f);
  EXPECT_EQ(request.options.sampling.logprobs, std::nullopt);
  EXPECT_EQ(request.options.sampling.prompt_logprobs, std::nullopt);
  EXPECT_FALSE(request.options.seed.has_value());
  EXPECT_TRUE(request.options.add_special_tokens);
  EXPECT_EQ(std::get<std::string>(request.prompts.at(0)), "hi");
}

// Protects: the checkpoint's sampling defaults hold unless the request says otherwise.
TEST(CompletionRequest, TakesTheCheckpointsDefaults) {
  RequestLimits with_defaults = limits();
  with_defaults.generation.temperature = 0.8f;
  with_defaults.generation.top_k = 40;
  const json::value body = json::parse(R"({"prompt": "hi", "top_k": 5})");
  FieldReader fields(body.as_object());
  const auto parsed = read_completion_request(fields, with_defaults);
  const SamplingParams& sampling = std::get<CompletionRequest>(parsed).options.sampling;
  EXPECT_EQ(sampling.temperature, 0.8f);
  EXPECT_EQ(sampling.top_k, 5);
}

// Protects: vLLM's reading of tiny temperatures; only 0 is greedy.
TEST(CompletionRequest, RaisesTinyTemperatures) {
  for (const auto& [given, want] :
       {std::pair{"0", 0.0f}, {"1e-6", 0.01f}, {"0.005", 0.01f}, {"0.02", 0.02f}}) {
    const auto parsed =
        completion(R"({"prompt": "hi", "temperature": )" + std::string(given) + "}");
    EXPECT_EQ(std::get<CompletionRequest>(parsed).options.sampling.temperature, want) << given;
  }
}

// Protects: every field reaches its place.
TEST(CompletionRequest, ReadsEveryField) {
  const auto parsed = completion(R"({
    "model": "other", "prompt": [[1, 2], [3]], "temperature": 0.5, "top_p": 0.9, "top_k": -1,
    "min_p": 0.1, "presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.1,
    "max_tokens": 7.0, "min_tokens": 2, "n": 3, "seed": -5, "stop": ["a", "b"],
    "stop_token_ids": [4], "include_stop_str_in_output": true, "ignore_eos": true, "stream": true,
    "stream_options": {"include_usage": true, "continuous_usage_stats": true}, "logprobs": 3,
    "echo": true, "logit_bias": {"9": 1000}, "skip_special_tokens": false,
    "add_special_tokens": false, "return_token_ids": true, "truncate_prompt_tokens": -1,
    "truncation_side": "right", "suffix": null, "best_of": 1, "response_format": {"type": "text"},
    "use_beam_search": false, "allowed_token_ids": [1, 2], "bad_words": ["x"], "priority": -7,
    "cache_salt": "user 1", "request_id": "r-1"})");
  ASSERT_TRUE(std::holds_alternative<CompletionRequest>(parsed));
  const CompletionRequest& request = std::get<CompletionRequest>(parsed);
  const GenerationOptions& options = request.options;
  const SamplingParams& sampling = options.sampling;
  EXPECT_EQ(options.model, "other");
  ASSERT_EQ(request.prompts.size(), 2u);
  EXPECT_EQ(std::get<std::vector<TokenId>>(request.prompts[0]), (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_p, 0.9f);
  EXPECT_EQ(sampling.top_k, -1);
  EXPECT_EQ(sampling.min_p, 0.1f);
  EXPECT_EQ(sampling.presence_penalty, 1.0f);
  EXPECT_EQ(sampling.frequency_penalty, -1.0f);
  EXPECT_EQ(sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(options.max_tokens, 7);
  EXPECT_EQ(sampling.min_tokens, 2);
  EXPECT_EQ(options.n, 3);
  EXPECT_EQ(options.seed, -5);
  EXPECT_EQ(options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(sampling.stop_token_ids, (std::vector<TokenId>{4}));
  EXPECT_TRUE(options.include_stop_str_in_output);
  EXPECT_TRUE(sampling.ignore_eos);
  EXPECT_TRUE(options.stream && options.include_usage && options.continuous_usage_stats);
  EXPECT_EQ(sampling.logprobs, 3);
  EXPECT_EQ(sampling.prompt_logprobs, 3);  // echo
  EXPECT_TRUE(request.echo);
  EXPECT_FALSE(request.want_prompt_logprobs);
  EXPECT_EQ(sampling.logit_bias, (std::vector<std::pair<TokenId, float>>{{9, 100.0f}}));
  EXPECT_FALSE(options.skip_special_tokens);
  EXPECT_FALSE(options.add_special_tokens);
  EXPECT_TRUE(options.return_token_ids);
  EXPECT_EQ(options.truncate_prompt_tokens, -1);
  EXPECT_TRUE(options.truncate_right);
  EXPECT_EQ(sampling.allowed_token_ids, (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(options.bad_words, std::vector<std::string>{"x"});
  EXPECT_EQ(sampling.priority, -7);
  EXPECT_EQ(sampling.cache_salt, "user 1");
  EXPECT_EQ(options.request_id, "r-1");
}

// Protects: tokens named for their log-probabilities take the place of the most likely ones.
TEST(CompletionRequest, NamesTokensForLogprobs) {
  const auto parsed = completion(R"({"prompt": "hi", "logprobs": 3, "logprob_token_ids": [5, 1]})");
  const SamplingParams& sampling = std::get<CompletionRequest>(parsed).options.sampling;
  EXPECT_EQ(sampling.logprob_token_ids, (std::vector<TokenId>{5, 1}));
  EXPECT_EQ(sampling.logprobs, std::nullopt);
}

// Protects: all of the vocabulary is given only where the operator allows it.
TEST(CompletionRequest, LogprobsOfAllTokens) {
  RequestLimits unlimited = limits();
  unlimited.max_logprobs = -1;
  const json::value body =
      json::parse(R"({"prompt": "hi", "logprobs": -1, "prompt_logprobs": 5, "echo": true})");
  FieldReader fields(body.as_object());
  const auto parsed = read_completion_request(fields, unlimited);
  const SamplingParams& sampling = std::get<CompletionRequest>(parsed).options.sampling;
  EXPECT_EQ(sampling.logprobs, -1);
  EXPECT_EQ(sampling.prompt_logprobs, -1);
}

// Protects: -1 is vLLM's way to ask for a random seed.
TEST(CompletionRequest, SeedMinusOneIsNone) {
  const auto parsed = completion(R"({"prompt": "hi", "seed": -1})");
  EXPECT_FALSE(std::get<CompletionRequest>(parsed).options.seed.has_value());
}

// Protects: fields nobody reads are found for the log, a bounded number of them.
TEST(FieldReader, TellsUnknownFields) {
  const json::value body = json::parse(R"({"prompt": "a", "x1": 1, "x2": 2, "x3": 3, "user": 1})");
  FieldReader fields(body.as_object());
  ASSERT_TRUE(std::holds_alternative<CompletionRequest>(read_completion_request(fields, limits())));
  EXPECT_EQ(fields.unknown(8), (std::vector<std::string_view>{"x1", "x2", "x3"}));
  EXPECT_EQ(fields.unknown(2).size(), 2u);
}

// Protects: every bad chat body is a 400 with the field at fault.
TEST(ChatRequest, RefusesBadBodies) {
  struct Case {
    std::string body;
    const char* param;
  };
  const std::string good = R"("messages": [{"role": "user", "content": "hi"}])";
  const Case kCases[] = {
      {R"({})", "messages"},
      {R"({"messages": []})", "messages"},
      {R"({"messages": "hi"})", "messages"},
      {R"({"messages": [1]})", "messages"},
      {R"({"messages": [{"role": "user"}]})", "messages"},
      {R"({"messages": [{"content": "hi"}]})", "messages"},
      {R"({"messages": [{"role": "root", "content": "hi"}]})", "messages"},
      {R"({"messages": [{"role": "user", "content": 5}]})", "messages"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})", "messages"},
      {R"({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]})", "messages"},
      {R"({"messages": [{"role": "user", "content": "a", "name": 1}]})", "messages"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{}]}]})", "messages"},
      {"{" + good + R"(, "tools": [{"type": "function"}]})", "tools"},
      {"{" + good + R"(, "tool_choice": "required"})", "tool_choice"},
      {"{" + good + R"(, "top_logprobs": 2})", "top_logprobs"},
      {"{" + good + R"(, "logprobs": 2})", "logprobs"},
      {"{" + good + R"(, "logprobs": true, "top_logprobs": 21})", "top_logprobs"},
      {"{" + good + R"(, "chat_template": "{{ 1 }}"})", "chat_template"},
      {"{" + good + R"(, "chat_template_kwargs": []})", "chat_template_kwargs"},
      {"{" + good + R"(, "max_tokens": 0})", "max_tokens"},
      {"{" + good + R"(, "continue_final_message": true, "add_generation_prompt": true})",
       "continue_final_message"},
      {"{" + good + R"(, "tools": [{"type": "function", "function": {}}]})", "tools"},
      {"{" + good + R"(, "tools": [{"type": "code", "function": {"name": "f"}}]})", "tools"},
      {"{" + good + R"(, "tools": {"type": "function"}})", "tools"},
      {"{" + good + R"(, "tools": [)" + repeat("{}", 129) + "]}", "tools"},
      {"{" + good + R"(, "tool_choice": "auto"})", "tool_choice"},
      {"{" + good + R"(, "tool_choice": {"type": "function", "function": {"name": "f"}}})",
       "tool_choice"},
      {"{" + good + R"(, "documents": ["a"]})", "documents"},
      {"{" + good + R"(, "reasoning_effort": "huge"})", "reasoning_effort"},
      {"{" + good + R"(, "functions": [{"name": "f"}]})", "functions"},
      {R"({"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]})", "messages"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{"type": "function", "function":
          {"name": "f", "arguments": "[1]"}}]}]})",
       "messages"},
  };
  for (const Case& c : kCases) {
    const auto parsed = chat(c.body);
    const auto* error = std::get_if<ApiError>(&parsed);
    ASSERT_NE(error, nullptr) << c.body;
    EXPECT_EQ(error->param, c.param) << c.body << ": " << error->message;
  }
}

// Protects: parts are joined, calls get arguments as objects, kwargs reach the template and cannot
// replace the messages.
TEST(ChatRequest, BuildsTheTemplateContext) {
  const auto parsed = chat(R"({
    "messages": [
      {"role": "developer", "content": "be brief"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "reasoning": "hm", "tool_calls": [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
        {"type": "function", "function": {"name": "g", "arguments": ""}}]},
      {"role": "tool", "content": "42", "tool_call_id": "t"}],
    "chat_template_kwargs": {"enable_thinking": false, "messages": []},
    "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto",
    "documents": [{"text": "d"}], "reasoning_effort": "low",
    "logprobs": true, "top_logprobs": 4, "max_completion_tokens": 9})");
  ASSERT_TRUE(std::holds_alternative<ChatRequest>(parsed)) << std::get<ApiError>(parsed).message;
  const ChatRequest& request = std::get<ChatRequest>(parsed);
  EXPECT_EQ(json::value(request.context.variables), json::parse(R"({
    "enable_thinking": false, "add_generation_prompt": true, "reasoning_effort": "low",
    "tools": [{"type": "function", "function": {"name": "f"}}], "documents": [{"text": "d"}],
    "messages": [
      {"role": "system", "content": "be brief"}, {"role": "user", "content": "a\nb"},
      {"role": "assistant", "content": "", "reasoning": "hm", "tool_calls": [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}},
        {"type": "function", "function": {"name": "g", "arguments": {}}}]},
      {"role": "tool", "content": "42", "tool_call_id": "t"}]})"));
  EXPECT_EQ(request.context.must_matter,
            (std::vector<std::string_view>{"tools", "documents", "reasoning_effort"}));
  EXPECT_EQ(request.options.sampling.logprobs, 4);
  EXPECT_EQ(request.options.max_tokens, 9);
  EXPECT_EQ(request.context.response_role, "assistant");
}

// Protects the operator's defaults: they hold until a request says otherwise.
TEST(ChatRequest, TakesTheServersDefaults) {
  RequestLimits with_defaults = limits();
  with_defaults.template_kwargs = {{"enable_thinking", false}, {"x", 1}};
  with_defaults.force_include_usage = true;
  with_defaults.return_tokens_as_token_ids = true;
  with_defaults.exclude_tools_when_tool_choice_none = true;
  const json::value body = json::parse(R"({"messages": [{"role": "user", "content": "a"}],
      "stream": true, "chat_template_kwargs": {"x": 2}, "tool_choice": "none",
      "tools": [{"type": "function", "function": {"name": "f"}}]})");
  FieldReader fields(body.as_object());
  const auto parsed = read_chat_request(fields, with_defaults);
  ASSERT_TRUE(std::holds_alternative<ChatRequest>(parsed));
  const ChatRequest& request = std::get<ChatRequest>(parsed);
  EXPECT_EQ(request.context.variables.at("enable_thinking"), false);
  EXPECT_EQ(request.context.variables.at("x"), 2);
  EXPECT_FALSE(request.context.variables.contains("tools"));
  EXPECT_TRUE(request.options.include_usage);
  EXPECT_TRUE(request.options.return_tokens_as_token_ids);
}

TemplateContext context_of(const std::string& body) {
  return std::get<ChatRequest>(chat(body)).context;
}

ChatTemplate template_of(const std::string& source) {
  return ChatTemplate::load("", source).value();
}

// Protects: what the template would ignore is refused by name instead of dropped.
TEST(ChatTemplateRequest, RefusesWhatMakesNoDifference) {
  const std::string messages = R"("messages": [{"role": "user", "content": "hi"}])";
  const std::string all =
      "{{ messages[0].content }}{{ tools }}{{ documents }}{{ reasoning_effort }}";
  struct Case {
    const char* fields;
    const char* name;
  };
  const Case kCases[] = {
      {R"("tools": [{"type": "function", "function": {"name": "f"}}])", "tools"},
      {R"("documents": [{"text": "d"}])", "documents"},
      {R"("reasoning_effort": "high")", "reasoning_effort"},
  };
  for (const Case& c : kCases) {
    const TemplateContext context = context_of("{" + messages + ", " + c.fields + "}");
    const auto refused = render_chat(context, template_of("{{ messages[0].content }}"));
    ASSERT_TRUE(std::holds_alternative<ApiError>(refused)) << c.name;
    EXPECT_EQ(std::get<ApiError>(refused).param, c.name);
    EXPECT_EQ(std::get<ApiError>(refused).status, 400u);
    EXPECT_TRUE(std::holds_alternative<std::string>(render_chat(context, template_of(all))))
        << c.name;
  }
}

// Protects: a message to be gone on with ends the prompt, as transformers cuts it.
TEST(ChatTemplateRequest, ContinuesTheFinalMessage) {
  const std::string keeps = "{% for m in messages %}<{{ m.content }}>{% endfor %}";
  const std::string trims = "{% for m in messages %}<{{ m.content | trim }}>{% endfor %}";
  const std::string hides = "{% for m in messages %}<>{% endfor %}";
  const auto body = [](const char* content) {
    return std::string(R"({"continue_final_message": true, "messages": [
        {"role": "user", "content": "ab"}, {"role": "assistant", "content": ")") +
           content + "\"}]}";
  };
  struct Case {
    const char* content;
    std::string source;
    const char* prompt;  // nullptr: refused
  };
  const Case kCases[] = {
      {"ab", keeps, "<ab><ab"},  {"ab ", keeps, "<ab><ab "}, {"ab ", trims, "<ab><ab"},
      {" ab", trims, "<ab><ab"}, {"x", hides, nullptr},
  };
  for (const Case& c : kCases) {
    const TemplateContext context = context_of(body(c.content));
    EXPECT_EQ(context.response_role, "assistant");
    const auto text = render_chat(context, template_of(c.source));
    if (c.prompt == nullptr) {
      EXPECT_TRUE(std::holds_alternative<ApiError>(text)) << c.content;
    } else {
      ASSERT_TRUE(std::holds_alternative<std::string>(text)) << c.content;
      EXPECT_EQ(std::get<std::string>(text), c.prompt) << c.content;
    }
  }
}

}  // namespace
}  // namespace bitcpm
