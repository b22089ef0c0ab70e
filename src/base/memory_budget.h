#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bitcpm {

// Bytes that the memory control groups of a process leave it: the least of limit - working set over
// its group and all groups above, where the working set is what the group uses without file pages
// that the kernel would drop first. SIZE_MAX without any limit. Version 2 and 1.
//   proc_cgroup  text of /proc/self/cgroup
//   root         where the groups are mounted, "/sys/fs/cgroup"
std::size_t cgroup_memory_left(std::string_view proc_cgroup, const std::string& root);

// Bytes of memory this process may still take: MemAvailable, cut to what its cgroups leave.
std::size_t usable_memory_bytes();

// This process's resident set, in bytes (VmRSS of /proc/self/status).
std::size_t resident_bytes();

}  // namespace bitcpm
