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

// Of the second-level cache, that a member fills with what comes next: a small share of all that
// current CPUs have, and more than memory delivers while a member waits.
constexpr std::size_t kReadAheadBytes = 128 << 10;

}  // namespace

// What a member does while it waits once: reads ahead as far as it may, in steps short enough that
// whatever it waits for is noticed, and then nothing.
class ThreadPool::Idling {
 public:
  Idling(const ThreadPool& pool, int member) {
    const std::byte* data = pool.ahead_.load(std::memory_order_relaxed);
    if (data == nullptr) return;
    next_ = data +
            static_cast<std::size_t>(member) * pool.ahead_stride_.load(std::memory_order_relaxed);
    left_ = kReadAheadBytes;
  }

  // Polls, then sleeps, until `word` differs from `old`.
  template <class T>
  void while_equal(const std::atomic<T>& word, T old) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (word.load(std::memory_order_acquire) != old) return;
      step();
    }
    word.wait(old, std::memory_order_acquire);
  }

 private:
  void step() {
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kStep = 4 * kLine;
    if (left_ == 0) return cpu_relax();
    for (std::size_t i = 0; i < kStep; i += kLine) __builtin_prefetch(next_ + i, 0, 2);
    next_ += kStep;
    left_ -= kStep;
  }

  const std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

ThreadPool::ThreadPool(int threads) {
  BITCPM_CHECK(threads >= 1);
  shares_ = std::vector<Share>(static_cast<std::size_t>(threads));
  workers_.reserve(static_cast<std::size_t>(threads) - 1);
  for (int member = 1; member < threads; ++member) {
    workers_.emplace_back([this, member] { work(member); });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(std::size_t count, std::size_t grain,
                              FunctionRef<void(std::size_t, std::size_t)> body) {
  BITCPM_CHECK(grain > 0);
  if (count == 0) return;
  const std::size_t total = (count - 1) / grain + 1;
  if (workers_.empty() || total == 1) {
    for (std::size_t begin = 0; begin < count; begin += grain) {
      body(begin, std::min(begin + grain, count));
    }
    return;
  }
  BITCPM_CHECK(total <= UINT32_MAX);
  const Loop loop{count, grain, body};
  loop_ = &loop;
  done_.store(0, std::memory_order_relaxed);
  open(static_cast<std::uint32_t>(total));
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  run_ranges(0);
  Idling idling(*this, 0);
  for (std::uint32_t done = done_.load(std::memory_order_acquire); done != total;
       done = done_.load(std::memory_order_acquire)) {
    idling.while_equal(done_, done);
  }
}

void ThreadPool::read_ahead(const std::byte* data, std::size_t stride) {
  ahead_stride_.store(stride, std::memory_order_relaxed);
  ahead_.store(data, std::memory_order_relaxed);
}

// Where ranges are few, the first members have them: the caller is awake.
void ThreadPool::open(std::uint32_t total) {
  const std::uint64_t members = shares_.size();
  std::uint64_t begin = 0;
  for (std::uint64_t m = 1; m <= members; ++m) {
    const std::uint64_t end = (total * m + members - 1) / members;
    shares_[m - 1].ranges.store(end << 32 | begin, std::memory_order_release);
    begin = end;
  }
}

bool ThreadPool::take(Share& share, std::uint32_t& range) {
  std::uint64_t seen = share.ranges.load(std::memory_order_acquire);
  do {
    range = static_cast<std::uint32_t>(seen);
    if (range == static_cast<std::uint32_t>(seen >> 32)) return false;
  } while (!share.ranges.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel,
                                               std::memory_order_acquire));
  return true;
}

void ThreadPool::run_ranges(int member) {
  std::uint32_t ran = 0;
  std::uint32_t total = 0;
  auto at = static_cast<std::size_t>(member);
  for (std::size_t looked = 0; looked < shares_.size(); ++looked) {
    for (std::uint32_t range = 0; take(shares_[at], range); ++ran) {
      const Loop& loop = *loop_;
      total = static_cast<std::uint32_t>((loop.count - 1) / loop.grain + 1);
      const std::size_t begin = range * loop.grain;
      loop.body(begin, std::min(begin + loop.grain, loop.count));
    }
    if (++at == shares_.size()) at = 0;
  }
  // Once for all: an addition per range would make members wait for each other's. After this the
  // loop may be gone. Only its last ranges wake the caller.
  if (ran > 0 && done_.fetch_add(ran, std::memory_order_acq_rel) + ran == total) {
    done_.notify_one();
  }
}

void ThreadPool::work(int member) {
  while (true) {
    const std::uint32_t seen = epoch_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    run_ranges(member);
    Idling(*this, member).while_equal(epoch_, seen);
  }
}

}  // namespace bitcpm
