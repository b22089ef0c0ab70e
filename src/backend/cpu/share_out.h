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

// body(begin, end) for disjoint ranges that cover [0, count): for each thread half of its share,
// then a quarter, an eighth and two sixteenths, whoever comes first. Long runs, as memory likes
// them, and still no long wait for the thread that takes the last.
template <class Body>
void share_tapered(ThreadPool& pool, std::size_t count, const Body& body) {
  constexpr std::size_t kParts = 16;                            // of a share
  constexpr std::size_t kTaken[] = {0, 8, 12, 14, 15, kParts};  // before each round
  constexpr std::size_t kRounds = std::size(kTaken) - 1;
  const auto threads = static_cast<std::size_t>(pool.threads());
  const auto bound = [&](std::size_t range) {
    const std::size_t round = range / threads;
    const std::size_t length = round < kRounds ? kTaken[round + 1] - kTaken[round] : 0;
    return count * (threads * kTaken[round] + range % threads * length) / (kParts * threads);
  };
  pool.parallel_for(kRounds * threads, 1, [&](std::size_t range, std::size_t) {
    const std::size_t begin = bound(range);
    const std::size_t end = bound(range + 1);
    if (begin < end) body(begin, end);
  });
}

// Threads that wait ask for what they will read first when `data` is shared out like that.
inline void read_ahead(ThreadPool& pool, std::span<const std::byte> data) {
  pool.read_ahead(data.data(), data.size() / (2 * static_cast<std::size_t>(pool.threads())));
}

}  // namespace bitcpm
