#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace bitcpm {

// A fixed team of threads for data-parallel loops. The caller is member 0 and works too; the
// others spin briefly between loops and then sleep.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // >= 1, the caller included
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for disjoint ranges of at most `grain` items that cover [0, count), and
  // returns when all are done. Who gets which range varies from run to run, so a body's result must
  // not depend on it. One caller at a time; bodies must not call back into the pool, nor throw.
  void parallel_for(std::size_t count, std::size_t grain,
                    FunctionRef<void(std::size_t begin, std::size_t end)> body);

 private:
  struct Loop;

  void work();
  static void claim_ranges(Loop& loop);

  std::vector<std::thread> workers_;
  std::atomic<Loop*> loop_{nullptr};
  std::atomic<std::uint32_t> generation_{0};  // bumped to start a loop, and to stop the team
  std::atomic<int> busy_{0};                  // workers that have not finished the current loop
  std::atomic<bool> stopping_{false};
};

}  // namespace bitcpm
