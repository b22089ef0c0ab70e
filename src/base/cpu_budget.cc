#include "base/cpu_budget.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>

namespace bitcpm {
namespace {

// "<key> <n> kB" of a /proc file, in bytes; 0 if absent.
std::size_t proc_kib(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  while (file >> name) {
    if (name == key) {
      std::size_t kib = 0;
      file >> kib;
      return kib * 1024;
    }
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

// cpu.max holds "<quota> <period>" in microseconds, or "max <period>".
int cgroup_cpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) {
    return std::numeric_limits<int>::max();
  }
  return std::max(1, static_cast<int>((quota + period - 1) / period));
}

std::size_t cgroup_memory_left() {
  std::size_t limit = 0;
  std::size_t used = 0;
  std::ifstream max_file("/sys/fs/cgroup/memory.max");
  std::ifstream used_file("/sys/fs/cgroup/memory.current");
  if (!(max_file >> limit) || !(used_file >> used)) return SIZE_MAX;  // "max", or no cgroup v2
  return limit > used ? limit - used : 0;
}

}  // namespace

int usable_cpus() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  const bool known = sched_getaffinity(0, sizeof(mask), &mask) == 0;
  return std::min(known ? std::max(1, CPU_COUNT(&mask)) : 1, cgroup_cpus());
}

std::size_t usable_memory_bytes() {
  return std::min(proc_kib("/proc/meminfo", "MemAvailable:"), cgroup_memory_left());
}

// Not sysconf(): glibc's figure was ten times the cache on the virtual machine this was tried on.
std::size_t last_cache_bytes() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  std::size_t kib = 0;
  char unit = 0;
  if (!(file >> kib >> unit) || unit != 'K' || kib == 0) kib = 32 << 10;
  return kib * 1024;
}

std::size_t resident_bytes() { return proc_kib("/proc/self/status", "VmRSS:"); }

}  // namespace bitcpm
