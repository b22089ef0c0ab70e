#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "server/engine_port.h"

namespace bitcpm {

// For tests: an engine without a model. Every request gets the script's tokens, one per tick, then
// the script's end (a stop token, or max_tokens); an endless script starts over.
class FakeEngine {
 public:
  struct Script {
    std::vector<TokenId> tokens;
    TokenId stop_token = 2;
    bool endless = false;
    std::chrono::milliseconds tick{0};
    std::size_t capacity = 1 << 20;  // running requests; beyond: kExhausted
  };

  explicit FakeEngine(Script script) : script_(std::move(script)), thread_([this] { run(); }) {}
  ~FakeEngine() {
    stop();
    thread_.join();
  }
  void stop() {  // ends what runs as cancelled
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }

  EnginePort port(std::int32_t max_model_len = 2048) {
    EnginePort port;
    port.submit = [this](auto&&... args) { return submit(std::move(args)...); };
    port.cancel = [this](RequestId id) { cancel(id); };
    port.stats = [] { return EngineStats(); };
    port.max_model_len = max_model_len;
    port.max_waiting = 1 << 20;
    return port;
  }

  std::size_t running() const {
    const std::lock_guard lock(mutex_);
    return jobs_.size();
  }
  std::size_t cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }
  std::vector<std::pair<std::vector<TokenId>, SamplingParams>> submitted() const {
    const std::lock_guard lock(mutex_);
    return submitted_;
  }

 private:
  struct Job {
    std::size_t prompt_tokens;
    SamplingParams params;
    EventSink sink;
    std::size_t emitted = 0;
    bool cancelled = false;
  };

  Result<RequestId> submit(std::vector<TokenId> prompt, SamplingParams params, EventSink sink) {
    const std::lock_guard lock(mutex_);
    if (prompt.empty()) return Error{Errc::kInvalid, "the prompt is empty"};
    if (jobs_.size() >= script_.capacity) return Error{Errc::kExhausted, "the queue is full"};
    jobs_.emplace(++last_id_, Job{prompt.size(), params, std::move(sink), 0, false});
    submitted_.emplace_back(std::move(prompt), std::move(params));
    changed_.notify_all();
    return last_id_;
  }

  void cancel(RequestId id) {
    const std::lock_guard lock(mutex_);
    if (const auto job = jobs_.find(id); job != jobs_.end()) job->second.cancelled = true;
  }

  static TokenLogprobs logprobs_of(TokenId token, std::int32_t top) {
    TokenLogprobs logprobs{{token, -0.5f}, 1, {}};
    for (std::int32_t i = 0; i < top; ++i) {
      logprobs.top.push_back({i == 0 ? token : 100 + i, -0.5f - static_cast<float>(i)});
    }
    return logprobs;
  }

  // One event; true if it was the request's last.
  bool step(RequestId id, Job& job) {
    EngineEvent event;
    event.request = id;
    if (job.params.prompt_logprobs && job.emitted == 0) {
      for (std::size_t i = 1; i < job.prompt_tokens; ++i) {
        event.prompt_logprobs.push_back(logprobs_of(50, *job.params.prompt_logprobs));
      }
    }
    if (job.cancelled) {
      ++cancelled_;
      event.finish = FinishReason::kCancelled;
    } else if (job.emitted == script_.tokens.size() && !script_.endless) {
      event.token = event.stop_token = script_.stop_token;
      event.finish = FinishReason::kStop;
    } else {
      event.token = script_.tokens[job.emitted++ % script_.tokens.size()];
      if (static_cast<std::int32_t>(job.emitted) == job.params.max_tokens) {
        event.finish = FinishReason::kLength;
      }
    }
    if (event.token && job.params.logprobs) {
      event.logprobs = logprobs_of(*event.token, *job.params.logprobs);
    }
    const bool is_last = event.finish.has_value();
    job.sink(std::move(event));
    return is_last;
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_ || !jobs_.empty()) {
      changed_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
      for (auto job = jobs_.begin(); job != jobs_.end();) {
        job->second.cancelled |= stopping_;
        job = step(job->first, job->second) ? jobs_.erase(job) : std::next(job);
      }
      lock.unlock();
      std::this_thread::sleep_for(script_.tick);
      lock.lock();
    }
  }

  const Script script_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<RequestId, Job> jobs_;
  std::vector<std::pair<std::vector<TokenId>, SamplingParams>> submitted_;
  RequestId last_id_ = 0;
  std::size_t cancelled_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bitcpm
