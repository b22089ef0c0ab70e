#include "base/thread_pool.h"

#include <algorithm>
#include <cstdint>

#include "base/check.h"

namespace bitcpm {
namespace {

// About 20-50 us of polling on current CPUs: longer than the gap between two loops of one layer,
// short enough that an idle or crowded machine gets its core back.
constexpr int kSpins = 2000;

void cpu_relax() {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
  __builtin_ia32_pause();
#endif
}

// Polls, then sleeps, until `word` differs from `old`.
template <class T>
void wait_while_equal(const std::atomic<T>& word, T old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (word.load(std::memory_order_acquire) != old) return;
    cpu_relax();
  }
  word.wait(old, std::memory_order_acquire);
}

}  // namespace

struct ThreadPool::Loop {
  std::size_t count;
  std::size_t grain;
  FunctionRef<void(std::size_t, std::size_t)> body;
  std::atomic<std::size_t> next{0};
};

ThreadPool::ThreadPool(int threads) {
  BITCPM_CHECK(threads >= 1);
  workers_.reserve(static_cast<std::size_t>(threads) - 1);
  for (int member = 1; member < threads; ++member) {
    workers_.emplace_back([this] { work(); });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(std::size_t count, std::size_t grain,
                              FunctionRef<void(std::size_t, std::size_t)> body) {
  BITCPM_CHECK(grain > 0);
  if (count == 0) return;
  Loop loop{count, grain, body};
  if (workers_.empty() || count <= grain) {
    claim_ranges(loop);
    return;
  }
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  loop_.store(&loop, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  claim_ranges(loop);
  for (int left = busy_.load(std::memory_order_acquire); left != 0;
       left = busy_.load(std::memory_order_acquire)) {
    wait_while_equal(busy_, left);
  }
}

void ThreadPool::claim_ranges(Loop& loop) {
  for (;;) {
    const std::size_t begin = loop.next.fetch_add(loop.grain, std::memory_order_relaxed);
    if (begin >= loop.count) return;
    loop.body(begin, std::min(begin + loop.grain, loop.count));
  }
}

void ThreadPool::work() {
  std::uint32_t seen = 0;
  for (;;) {
    wait_while_equal(generation_, seen);
    ++seen;  // never skips one: parallel_for waits for every worker
    if (stopping_.load(std::memory_order_relaxed)) return;
    claim_ranges(*loop_.load(std::memory_order_relaxed));
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace bitcpm
