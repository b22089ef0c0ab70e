#include "server/choice.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/token_text.h"

namespace bitcpm {

void ChoiceDelta::merge(ChoiceDelta&& later) {
  text += later.text;
  token_ids.insert(token_ids.end(), later.token_ids.begin(), later.token_ids.end());
  std::move(later.rows.begin(), later.rows.end(), std::back_inserter(rows));
  std::move(later.prompt_logprobs.begin(), later.prompt_logprobs.end(),
            std::back_inserter(prompt_logprobs));
  std::move(later.tool_calls.begin(), later.tool_calls.end(), std::back_inserter(tool_calls));
  if (!later.finish_reason.empty()) {
    finish_reason = later.finish_reason;
    stop_reason = std::move(later.stop_reason);
  }
}

Choice::Choice(const Tokenizer& tokenizer, const PreparedRequest& request,
               const PreparedPrompt& prompt)
    : request_(request),
      prompt_(prompt),
      detokenizer_(tokenizer, prompt.ids, request.options.skip_special_tokens),
      stop_strings_(request.options.stop, request.options.include_stop_str_in_output) {
  if (request.most_tool_calls > 0) tool_calls_.emplace(request.most_tool_calls);
}

ChoiceDelta Choice::accept(EngineEvent&& event) {
  ChoiceDelta delta;
  if (finished_) return delta;
  cached_tokens_ = std::max(cached_tokens_, event.cached_tokens);
  begin(event, delta);
  if (event.token && !request_.echo_only) accept_token(event, delta);
  if (!finished_ && event.finish) finish(event, delta);
  return delta;
}

// The echoed prompt goes before everything else, its logprobs having come with the first event.
void Choice::begin(EngineEvent& event, ChoiceDelta& delta) {
  if (std::exchange(begun_, true)) return;
  if (request_.echo) {
    delta.text = prompt_.echo_text;
    characters_ = count_characters(prompt_.echo_text);
    const bool want_rows = request_.options.sampling.wants_logprobs();
    for (std::size_t i = 0; want_rows && i < prompt_.ids.size(); ++i) {
      TokenRow row{prompt_.ids[i], std::nullopt, prompt_.offsets[i]};
      if (i > 0 && i - 1 < event.prompt_logprobs.size()) {
        row.logprobs = event.prompt_logprobs[i - 1];
      }
      delta.rows.push_back(std::move(row));
    }
  }
  if (request_.is_chat) delta.text = request_.echo_text;
  if (request_.want_prompt_logprobs) delta.prompt_logprobs = std::move(event.prompt_logprobs);
}

void Choice::accept_token(EngineEvent& event, ChoiceDelta& delta) {
  ++completion_tokens_;
  delta.token_ids.push_back(*event.token);
  if (request_.options.sampling.wants_logprobs()) {
    delta.rows.push_back({*event.token, std::move(event.logprobs), characters_});
  }
  const bool is_stop_token = event.finish == FinishReason::kStop;
  if (is_stop_token && !request_.options.include_stop_str_in_output) return;
  append(detokenizer_.push(*event.token), delta);
}

void Choice::append(std::string_view piece, ChoiceDelta& delta) {
  characters_ += count_characters(piece);
  if (completion_tokens_ <= request_.options.sampling.min_tokens) {
    add_text(piece, delta);  // no stop string begins before min_tokens, as no stop token does
    return;
  }
  add_text(stop_strings_.push(piece), delta);
  if (!stop_strings_.match()) return;
  end("stop", delta);
  delta.stop_reason = *stop_strings_.match();
}

void Choice::add_text(std::string_view text, ChoiceDelta& delta) {
  if (!tool_calls_) {
    delta.text += text;
    return;
  }
  ToolCallParser::Output output = tool_calls_->push(text);
  delta.text += output.content;
  std::move(output.calls.begin(), output.calls.end(), std::back_inserter(delta.tool_calls));
}

// An answer that stops and has called is one that waits for what the tools say.
void Choice::end(std::string_view reason, ChoiceDelta& delta) {
  finished_ = true;
  delta.finish_reason = reason;
  if (!tool_calls_) return;
  ToolCallParser::Output output = tool_calls_->finish();
  delta.text += output.content;
  std::move(output.calls.begin(), output.calls.end(), std::back_inserter(delta.tool_calls));
  if (reason == "stop" && tool_calls_->calls() > 0) delta.finish_reason = "tool_calls";
}

void Choice::finish(const EngineEvent& event, ChoiceDelta& delta) {
  append(detokenizer_.finish(), delta);
  if (finished_) return;
  add_text(stop_strings_.finish(), delta);
  switch (*event.finish) {
    case FinishReason::kStop: {
      end("stop", delta);
      const std::vector<TokenId>& asked = request_.options.sampling.stop_token_ids;
      if (event.stop_token &&
          std::find(asked.begin(), asked.end(), *event.stop_token) != asked.end()) {
        delta.stop_reason = *event.stop_token;
      }
      break;
    }
    case FinishReason::kLength:
      end("length", delta);
      break;
    case FinishReason::kCancelled:  // no answer: Generation makes it an error
      finished_ = true;
      return;
  }
  if (request_.echo_only) {
    delta.finish_reason = "length";
    delta.stop_reason = {};
  }
}

}  // namespace bitcpm
