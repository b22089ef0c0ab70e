#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace bitcpm {

// A fixed team of threads for data-parallel loops. The caller is a member and works too; the others
// help if they get to run in time: a loop waits for the ranges that were taken, never for a thread
// that the operating system has not scheduled. Between loops the team polls briefly, then sleeps.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // >= 1, the caller included
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for disjoint ranges of `grain` items (the last may be shorter) that
  // cover [0, count), and returns when all are done. Every member begins with a share of its own,
  // neighbouring ranges in ascending order, the caller with the first; there may be none for the
  // last members. Whoever is done goes on with what others have not begun. So who gets which range
  // varies from run to run, and a body's result must not depend on it. One caller at a time; bodies
  // must not call back into the pool, nor throw.
  void parallel_for(std::size_t count, std::size_t grain,
                    FunctionRef<void(std::size_t begin, std::size_t end)> body);

  // What members do while they wait, until told otherwise: member m, of whom the caller is 0, asks
  // the memory for what begins at data + m * stride, some of it. Nothing is read, so the data need
  // not exist any more. nullptr: nothing.
  void read_ahead(const std::byte* data, std::size_t stride);

 private:
  struct Loop {
    std::size_t count;
    std::size_t grain;
    FunctionRef<void(std::size_t, std::size_t)> body;
  };

  class Idling;

  // A member's ranges of the current loop: their end in the upper half, the next one to take in the
  // lower. Between loops they are equal, so nothing can be taken. A line each: most of the time
  // nobody else looks at it.
  struct alignas(64) Share {
    std::atomic<std::uint64_t> ranges{0};
  };

  void work(int member);
  void open(std::uint32_t total);
  static bool take(Share& share, std::uint32_t& range);
  void run_ranges(int member);

  std::vector<std::thread> workers_;
  std::vector<Share> shares_;  // of every member
  // Written before shares_ open, read only by holders of a range, and a loop ends only when every
  // range is done: hence no reader ever sees a change.
  const Loop* loop_ = nullptr;
  // Ranges of the current loop that are reported finished. Members poll it and what follows, so
  // none of it shares a line with what is read while ranges are run.
  alignas(64) std::atomic<std::uint32_t> done_{0};
  std::atomic<std::uint32_t> epoch_{0};  // bumped to wake the team, for a loop or to stop
  std::atomic<bool> stopping_{false};
  std::atomic<const std::byte*> ahead_{nullptr};
  std::atomic<std::size_t> ahead_stride_{0};
};

}  // namespace bitcpm
