#include "base/memory_budget.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>

namespace bitcpm {
namespace {

// "<key> <n>" of a file, in the file's unit; 0 if absent.
std::size_t number_after(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  while (file >> name) {
    if (name == key) {
      std::size_t number = 0;
      file >> number;
      return number;
    }
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

// The files of one version.
struct GroupFiles {
  const char* limit;
  const char* used;
  const char* droppable;  // in memory.stat: file pages not used lately
};
constexpr GroupFiles kVersion2 = {"/memory.max", "/memory.current", "inactive_file"};
constexpr GroupFiles kVersion1 = {"/memory.limit_in_bytes", "/memory.usage_in_bytes",
                                  "total_inactive_file"};

std::size_t left_in(const std::string& group, const GroupFiles& files) {
  std::size_t limit = 0;
  std::size_t used = 0;
  std::ifstream limit_file(group + files.limit);
  std::ifstream used_file(group + files.used);
  if (!(limit_file >> limit) || !(used_file >> used)) return SIZE_MAX;  // "max", or no such group
  used -= std::min(used, number_after(group + "/memory.stat", files.droppable));
  return limit > used ? limit - used : 0;
}

// Over `path` below `root` and every group above it. Inside a container the path may be that of the
// host, where nothing is to be found; the root is the container's own group then.
std::size_t left_up(const std::string& root, std::string path, const GroupFiles& files) {
  std::size_t left = left_in(root, files);
  while (path.size() > 1) {
    left = std::min(left, left_in(root + path, files));
    path.resize(path.rfind('/'));
  }
  return left;
}

bool lists_memory(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == "memory") return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

}  // namespace

std::size_t cgroup_memory_left(std::string_view proc_cgroup, const std::string& root) {
  std::size_t left = SIZE_MAX;
  while (!proc_cgroup.empty()) {  // lines of "<hierarchy>:<controllers>:<path>"
    const std::string_view line = proc_cgroup.substr(0, proc_cgroup.find('\n'));
    proc_cgroup.remove_prefix(std::min(line.size() + 1, proc_cgroup.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (line.substr(0, first) == "0" && controllers.empty()) {
      left = std::min(left, left_up(root, path, kVersion2));
    } else if (lists_memory(controllers)) {
      left = std::min(left, left_up(root + "/memory", path, kVersion1));
    }
  }
  return left;
}

std::size_t usable_memory_bytes() {
  std::ifstream file("/proc/self/cgroup");
  const std::string groups((std::istreambuf_iterator<char>(file)), {});
  return std::min(1024 * number_after("/proc/meminfo", "MemAvailable:"),
                  cgroup_memory_left(groups, "/sys/fs/cgroup"));
}

std::size_t resident_bytes() { return 1024 * number_after("/proc/self/status", "VmRSS:"); }

}  // namespace bitcpm
