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

// body(thread, i, next) likewise: the thread goes on to `next`, or to nothing if that is count. A
// thread holds one item that it has not begun; each begins with one of its own, so that nobody
// holds two where there are few.
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

// Where a thread's share is cut, in sixteenths: half of it first, then a quarter, an eighth and two
// sixteenths.
constexpr std::size_t kShareParts = 16;
constexpr std::size_t kShareCuts[] = {0, 8, 12, 14, 15};

// body(begin, end) for disjoint ranges that cover [0, count). A thread goes through a share of its
// own from one end to the other, as memory likes it, in ranges that shrink: who is done before
// takes some of the last.
template <class Body>
void share_tapered(ThreadPool& pool, std::size_t count, const Body& body) {
  constexpr std::size_t kRanges = std::size(kShareCuts);
  const auto threads = static_cast<std::size_t>(pool.threads());
  const auto bound = [&](std::size_t range) {
    const std::size_t parts = range / kRanges * kShareParts + kShareCuts[range % kRanges];
    return count * parts / (kShareParts * threads);
  };
  pool.parallel_for(kRanges * threads, 1, [&](std::size_t range, std::size_t) {
    const std::size_t begin = bound(range);
    const std::size_t end = bound(range + 1);
    if (begin < end) body(begin, end);
  });
}

// Threads that wait ask for what they will read first when `data` is shared out so.
inline void read_ahead(ThreadPool& pool, std::span<const std::byte> data) {
  pool.read_ahead(data.data(), data.size() / static_cast<std::size_t>(pool.threads()));
}

}  // namespace bitcpm
