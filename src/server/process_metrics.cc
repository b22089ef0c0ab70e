#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "server/metrics.h"

namespace bitcpm {
namespace {

// The fields of /proc/self/stat after the command, whose name may hold anything; [0] is field 3 of
// proc(5).
std::vector<std::string> stat_fields() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t command_end = line.rfind(')');
  if (command_end == std::string::npos) return {};
  std::istringstream rest(line.substr(command_end + 1));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

int open_descriptors() {
  struct Close {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(opendir("/proc/self/fd"));
  if (!directory) return 0;
  int entries = 0;
  while (readdir(directory.get()) != nullptr) ++entries;
  return entries - 3;  // "." and "..", and the one that lists them
}

double seconds_since_boot_to_unix(double since_boot) {
  timespec now{}, up{};
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &up);
  const auto seconds = [](const timespec& t) {
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  return seconds(now) - seconds(up) + since_boot;
}

}  // namespace

std::string process_metrics() {
  MetricText out({});
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    out.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
                seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  const std::vector<std::string> stat = stat_fields();
  constexpr std::size_t kStartTime = 19, kVirtualBytes = 20, kResidentPages = 21;
  if (stat.size() > kResidentPages) {
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    out.gauge("process_start_time_seconds", "Start time of the process since the Unix epoch.",
              seconds_since_boot_to_unix(std::stod(stat[kStartTime]) / ticks));
    out.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.",
              std::stod(stat[kVirtualBytes]));
    out.gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
              std::stod(stat[kResidentPages]) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  }
  out.gauge("process_open_fds", "Number of open file descriptors.", open_descriptors());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    out.gauge("process_max_fds", "Maximum number of open file descriptors.",
              static_cast<double>(limit.rlim_cur));
  }
  return out.take();
}

}  // namespace bitcpm
