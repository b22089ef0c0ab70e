#pragma once

#include <cstddef>

namespace bitcpm {

// Threads this process may really run at once: the CPUs of its affinity mask, cut to its cgroup's
// cpu.max quota (rounded up). At least 1.
int usable_cpus();

// The last-level cache that the first CPU shares, in bytes; 32 MiB if the kernel does not say.
std::size_t last_cache_bytes();

}  // namespace bitcpm
