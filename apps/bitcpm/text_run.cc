#include "text_run.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "server/stop_strings.h"
#include "text/detokenizer.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::milliseconds(50);

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

struct TimedEvent {
  EngineEvent event;
  Clock::time_point when;
};

// From the engine's thread to ours. Bounded by the request's max_tokens.
class TimedQueue {
 public:
  void push(EngineEvent&& event) {
    const std::scoped_lock lock(mutex_);
    events_.push_back({std::move(event), Clock::now()});
    ready_.notify_one();
  }

  std::optional<TimedEvent> pop() {
    std::unique_lock lock(mutex_);
    if (!ready_.wait_for(lock, kPatience, [&] { return !events_.empty(); })) return std::nullopt;
    TimedEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<TimedEvent> events_;
};

// What the events of one request add up to.
class Collector {
 public:
  Collector(const Tokenizer& tokenizer, const TextRequest& request)
      : detokenizer_(tokenizer, request.prompt, true), stops_(request.stop, false) {}

  // The text that became certain with this event.
  std::string add(TimedEvent&& timed) {
    EngineEvent& event = timed.event;
    if (event.finish) finish_ = *event.finish;
    std::string text;
    if (event.token && !stops_.match()) {
      if (result_.token_ids.empty()) first_ = timed.when;
      last_ = timed.when;
      result_.token_ids.push_back(*event.token);
      if (event.logprobs) result_.logprobs.push_back(std::move(*event.logprobs));
      text = stops_.push(detokenizer_.push(*event.token));
    }
    if (event.finish) {
      text += stops_.push(detokenizer_.finish());
      text += stops_.finish();
    }
    result_.text += text;
    return text;
  }

  bool stopped() const { return stops_.match().has_value(); }
  bool finished() const { return finish_.has_value(); }

  TextResult result(Clock::time_point start) && {
    if (!result_.token_ids.empty()) {
      result_.prefill_seconds = seconds_between(start, first_);
      result_.decode_seconds = seconds_between(first_, last_);
    }
    const bool cut_off = *finish_ == FinishReason::kCancelled;
    result_.finish_reason = stopped() || *finish_ == FinishReason::kStop ? "stop"
                            : cut_off                                    ? "abort"
                                                                         : "length";
    return std::move(result_);
  }

 private:
  Detokenizer detokenizer_;
  StopStrings stops_;
  TextResult result_;
  std::optional<FinishReason> finish_;
  Clock::time_point first_;
  Clock::time_point last_;
};

}  // namespace

Result<TextResult> run_text(Engine& engine, const Tokenizer& tokenizer, const TextRequest& request,
                            TextSink sink) {
  // Shared: the engine may still be inside push() when the last event has been read here.
  const auto queue = std::make_shared<TimedQueue>();
  Collector collector(tokenizer, request);
  const Clock::time_point start = Clock::now();
  BITCPM_ASSIGN(const RequestId id,
                engine.submit(request.prompt, request.sampling,
                              [queue](EngineEvent&& event) { queue->push(std::move(event)); }));
  bool cancelled = false;
  while (!collector.finished()) {
    std::optional<TimedEvent> event = queue->pop();
    const std::string text = event ? collector.add(std::move(*event)) : std::string();
    if (cancelled) continue;  // only the terminal event is awaited
    const bool wanted = sink(text);
    if (!wanted || collector.stopped()) {
      engine.cancel(id);
      cancelled = true;
    }
  }
  return std::move(collector).result(start);
}

}  // namespace bitcpm
