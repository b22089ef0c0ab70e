#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <span>

#include "base/thread_pool.h"

namespace bitcpm {

// body(thread, i) for every i in [0, count), whoever comes first; threads are numbered from 0, so
// that each can have memory of its own.
template <class Body>
void share_out(ThreadPool& pool, std::size_t count, const Body& body) {
  std::atomic<std::size_t> next{0};
  const auto threads = std::min(count, static_cast<std::size_t>(pool.threads()));
  pool.parallel_for(threads, 1, [&](std::size_t thread, std::size_t) {
    for (std::size_t i = next++; i < count; i = next++) body(thread, i);
  });
}

// body(thread, i, next) likewise: the thread goes on to `next`, or to nothing if that is count.
template <class Body>
void share_out_ahead(ThreadPool& pool, std::size_t count, const Body& body) {
  const auto threads = std::min(count, static_cast<std::size_t>(pool.threads()));
  std::atomic<std::size_t> unclaimed{threads};
  pool.parallel_for(threads, 1, [&](std::size_t thread, std::size_t) {
    for (std::size_t i = thread; i < count;) {
      const std::size_t next = std::min(unclaimed++, count);
      body(thread, i, next);
      i = next;
    }
  });
}

// What share_tapered() has given away of a thread's share, in parts of kShareParts, before each
// round: half of it in the first, then a quarter, an eighth and two sixteenths.
constexpr std::size_t kShareParts = 16;
constexpr std::size_t kShareTaken[] = {0, 8, 12, 14, 15, kShareParts};

// body(begin, end) for disjoint ranges that cover [0, count), one per thread and round, whoever
// comes first. Long runs, as memory likes them, and still no long wait for the thread that takes
// the last.
template <class Body>
void share_tapered(ThreadPool& pool, std::size_t count, const Body& body) {
  constexpr std::size_t kRounds = std::size(kShareTaken) - 1;
  const auto threads = static_cast<std::size_t>(pool.threads());
  const auto bound = [&](std::size_t range) {
    const std::size_t round = range / threads;
    const std::size_t length = round < kRounds ? kShareTaken[round + 1] - kShareTaken[round] : 0;
    const std::size_t taken = threads * kShareTaken[round] + range % threads * length;
    return count * taken / (kShareParts * threads);
  };
  pool.parallel_for(kRounds * threads, 1, [&](std::size_t range, std::size_t) {
    const std::size_t begin = bound(range);
    const std::size_t end = bound(range + 1);
    if (begin < end) body(begin, end);
  });
}

// Threads that wait ask for what they will read in the first round when `data` is shared out so.
inline void read_ahead(ThreadPool& pool, std::span<const std::byte> data) {
  const std::size_t shares = kShareParts * static_cast<std::size_t>(pool.threads());
  pool.read_ahead(data.data(), data.size() * kShareTaken[1] / shares);
}

}  // namespace bitcpm
