#pragma once

#include <cstddef>

namespace bitcpm {

// Threads this process may really run at once: the CPUs of its affinity mask, cut to its cgroup's
// cpu.max quota (rounded up). At least 1.
int usable_cpus();

// Bytes of memory this process may still take: MemAvailable, cut to what its cgroup leaves.
std::size_t usable_memory_bytes();

// The last-level cache that the first CPU shares, in bytes; 32 MiB if the kernel does not say.
std::size_t last_cache_bytes();

// This process's resident set, in bytes (VmRSS of /proc/self/status).
std::size_t resident_bytes();

}  // namespace bitcpm
