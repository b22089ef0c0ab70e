#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>

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

}  // namespace bitcpm
