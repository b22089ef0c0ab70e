#include "base/cpu_budget.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace bitcpm {
namespace {

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

}  // namespace

int usable_cpus() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  const bool known = sched_getaffinity(0, sizeof(mask), &mask) == 0;
  return std::min(known ? std::max(1, CPU_COUNT(&mask)) : 1, cgroup_cpus());
}

// Not sysconf(): glibc's figure was ten times the cache on the virtual machine this was tried on.
std::size_t last_cache_bytes() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  std::size_t kib = 0;
  char unit = 0;
  if (!(file >> kib >> unit) || unit != 'K' || kib == 0) kib = 32 << 10;
  return kib * 1024;
}

}  // namespace bitcpm
