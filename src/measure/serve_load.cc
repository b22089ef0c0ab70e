#include "measure/serve_load.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/json.h"
#include "base/quote.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMostOutputTokens = 1 << 20;

// What one event of a completion or a chat says.
struct StreamEvent {
  bool has_text = false;
  std::size_t prompt_tokens = 0;  // 0: not said
  std::size_t completion_tokens = 0;
  std::string error;
};

std::size_t count_field(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_int64() || value->as_int64() < 0) return 0;
  return static_cast<std::size_t>(value->as_int64());
}

bool has_text(const json::value& choice) {
  if (!choice.is_object()) return false;
  const json::object* holder = &choice.as_object();
  if (const json::value* delta = holder->if_contains("delta"); delta && delta->is_object()) {
    holder = &delta->as_object();
  }
  for (const char* name : {"text", "content", "reasoning_content"}) {
    const json::value* text = holder->if_contains(name);
    if (text != nullptr && text->is_string() && !text->as_string().empty()) return true;
  }
  return false;
}

StreamEvent parse_event(std::string_view data) {
  StreamEvent event;
  const auto parsed = parse_json(data);
  if (!parsed.ok() || !parsed->is_object()) {
    event.error = "an event is no JSON object: " + escaped(data, 80);
    return event;
  }
  const json::object& object = parsed->as_object();
  if (const json::value* error = object.if_contains("error"); error && !error->is_null()) {
    event.error = escaped(json::serialize(*error), 200);
    return event;
  }
  if (const json::value* choices = object.if_contains("choices"); choices && choices->is_array()) {
    const json::array& list = choices->as_array();
    event.has_text = std::any_of(list.begin(), list.end(), has_text);
  }
  if (const json::value* usage = object.if_contains("usage"); usage && usage->is_object()) {
    event.prompt_tokens = count_field(usage->as_object(), "prompt_tokens");
    event.completion_tokens = count_field(usage->as_object(), "completion_tokens");
  }
  return event;
}

class LoadTimer : public StreamObserver {
 public:
  explicit LoadTimer(const std::vector<LoadPrompt>& prompts)
      : begun_(Clock::now()), states_(prompts.size()) {
    result_.outcomes.resize(prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      result_.outcomes[i].input_tokens = prompts[i].tokens;
      result_.outcomes[i].error = "given up";
    }
  }

  void started(std::size_t request) override {
    states_[request].start = Clock::now();
    outcome(request).start = since(begun_);
  }

  void event(std::size_t request, std::string_view data) override {
    if (data == "[DONE]") return;
    State& state = states_[request];
    RequestOutcome& result = outcome(request);
    const StreamEvent event = parse_event(data);
    if (!event.error.empty() && state.error.empty()) state.error = event.error;
    if (event.prompt_tokens > 0) result.input_tokens = event.prompt_tokens;
    if (event.completion_tokens > 0) state.counted = event.completion_tokens;
    if (!event.has_text) return;
    const double now = since(state.start);
    if (state.pieces++ == 0) {
      result.ttft = now;
    } else {
      result.itl.push_back(now - result.latency);
    }
    result.latency = now;
  }

  void ended(std::size_t request, std::string_view error) override {
    State& state = states_[request];
    RequestOutcome& result = outcome(request);
    result.error = error.empty() ? state.error : std::string(error);
    if (result.error.empty() && state.pieces == 0) result.error = "no text came";
    result.output_tokens = state.counted > 0 ? state.counted : state.pieces;
    result_.duration = since(begun_);
    ++ended_;
  }

  std::size_t ended_count() const { return ended_; }
  LoadResult take() && {
    if (ended_ < result_.outcomes.size()) result_.duration = since(begun_);
    return std::move(result_);
  }

 private:
  struct State {
    Clock::time_point start;
    std::size_t pieces = 0;
    std::size_t counted = 0;  // output tokens by the server's usage
    std::string error;
  };

  static double since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  RequestOutcome& outcome(std::size_t request) { return result_.outcomes[request]; }

  Clock::time_point begun_;
  std::vector<State> states_;
  LoadResult result_;
  std::size_t ended_ = 0;
};

Result<LoadPrompt> parse_prompt(std::string_view line, std::size_t output_tokens) {
  BITCPM_ASSIGN(const json::value value, parse_json(line, {.max_bytes = std::size_t{16} << 20}));
  const json::value* prompt = value.is_object() ? value.as_object().if_contains("prompt") : nullptr;
  if (prompt == nullptr || !prompt->is_string() || prompt->as_string().empty()) {
    return Error{Errc::kCorrupt, "expected an object whose \"prompt\" is a text"};
  }
  LoadPrompt result{std::string(prompt->as_string()), 0, output_tokens};
  if (value.as_object().contains("output_tokens")) {
    result.output_tokens = count_field(value.as_object(), "output_tokens");
    if (result.output_tokens == 0 || result.output_tokens > kMostOutputTokens) {
      return Error{Errc::kCorrupt, "\"output_tokens\" is not in 1 to 1048576"};
    }
  }
  return result;
}

}  // namespace

Result<std::vector<LoadPrompt>> parse_prompts(std::string_view jsonl, std::size_t output_tokens) {
  std::vector<LoadPrompt> prompts;
  std::size_t number = 0;
  while (!jsonl.empty()) {
    ++number;
    const std::size_t end = std::min(jsonl.find('\n'), jsonl.size());
    const std::string_view line = jsonl.substr(0, end);
    jsonl.remove_prefix(std::min(end + 1, jsonl.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto prompt = parse_prompt(line, output_tokens);
    if (!prompt.ok()) return std::move(prompt).error().within("line " + std::to_string(number));
    prompts.push_back(*std::move(prompt));
  }
  if (prompts.empty()) return Error{Errc::kInvalid, "holds no prompts"};
  return prompts;
}

HttpRequest make_load_request(const LoadPrompt& prompt, const LoadStyle& style) {
  json::object body{{"model", style.model},
                    {"max_tokens", prompt.output_tokens},
                    {"temperature", style.temperature},
                    {"stream", true},
                    {"stream_options", json::object{{"include_usage", true}}}};
  if (style.is_chat) {
    body["messages"] = json::array{json::object{{"role", "user"}, {"content", prompt.text}}};
  } else {
    body["prompt"] = prompt.text;
  }
  if (style.ignore_eos) body["ignore_eos"] = true;
  return {.method = "POST",
          .target = style.is_chat ? "/v1/chat/completions" : "/v1/completions",
          .body = json::serialize(body),
          .api_key = style.api_key};
}

Result<LoadResult> run_serve_load(const HttpBase& base, const std::vector<LoadPrompt>& prompts,
                                  const LoadStyle& style, const LoadSchedule& schedule,
                                  FunctionRef<bool(std::size_t ended)> progress) {
  std::vector<HttpRequest> requests;
  for (const LoadPrompt& prompt : prompts) requests.push_back(make_load_request(prompt, style));
  LoadTimer timer(prompts);
  BITCPM_TRY(
      run_load(base, requests, schedule, timer, [&] { return progress(timer.ended_count()); }));
  return std::move(timer).take();
}

}  // namespace bitcpm
