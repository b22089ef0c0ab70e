#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "engine/sequence.h"

namespace bitcpm {

struct SubmitCommand {
  std::unique_ptr<Sequence> sequence;
  EventSink sink;
  std::chrono::steady_clock::time_point arrival;
};
struct CancelCommand {
  RequestId request;
};
struct ResetPrefixCacheCommand {};
using Command = std::variant<SubmitCommand, CancelCommand, ResetPrefixCacheCommand>;

// What other threads want of the engine thread. Not bounded: Engine counts what it lets in.
class Inbox {
 public:
  void push(Command command) {
    {
      const std::lock_guard lock(mutex_);
      commands_.push_back(std::move(command));
    }
    arrived_.notify_one();
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    arrived_.notify_one();
  }

  // Swaps the waiting commands into `out`; with `wait`, sleeps until there are some. False: stop.
  bool drain(std::vector<Command>& out, bool wait) {
    out.clear();
    std::unique_lock lock(mutex_);
    if (wait) arrived_.wait(lock, [&] { return stopping_ || !commands_.empty(); });
    out.swap(commands_);
    return !stopping_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Command> commands_;
  bool stopping_ = false;
};

}  // namespace bitcpm
