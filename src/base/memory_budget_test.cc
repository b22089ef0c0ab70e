#include "base/memory_budget.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace bitcpm {
namespace {

// Protects: which limits count. Group files below a made-up root; the answer is bytes left.
TEST(MemoryBudget, Cgroups) {
  struct File {
    const char* path;
    const char* text;
  };
  struct Case {
    const char* name;
    const char* proc_cgroup;
    std::vector<File> files;
    std::size_t left;
  };
  const Case kCases[] = {
      {"no groups", "", {}, SIZE_MAX},
      {"no limit", "0::/\n", {{"memory.max", "max\n"}, {"memory.current", "5\n"}}, SIZE_MAX},
      {"limit of the root, as in a container",
       "0::/\n",
       {{"memory.max", "1000\n"}, {"memory.current", "300\n"}},
       700},
      {"file pages that can be dropped do not count",
       "0::/\n",
       {{"memory.max", "1000"},
        {"memory.current", "900"},
        {"memory.stat", "anon 300\nfile 600\ninactive_file 500\nactive_file 100\n"}},
       600},
      {"over the limit", "0::/", {{"memory.max", "100"}, {"memory.current", "300"}}, 0},
      {"the least of all groups above",
       "0::/user.slice/app.service\n",
       {{"user.slice/app.service/memory.max", "1000"},
        {"user.slice/app.service/memory.current", "100"},
        {"user.slice/memory.max", "2000"},
        {"user.slice/memory.current", "1500"}},
       500},
      {"a host's path that is not there",
       "0::/docker/abc\n",
       {{"memory.max", "1000"}, {"memory.current", "100"}},
       900},
      {"version 1",
       "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n",
       {{"memory/docker/abc/memory.limit_in_bytes", "1000"},
        {"memory/docker/abc/memory.usage_in_bytes", "400"},
        {"memory/docker/abc/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"}},
       700},
      {"both versions mounted",
       "4:hugetlb,memory:/\n0::/\n",
       {{"memory/memory.limit_in_bytes", "1000"},
        {"memory/memory.usage_in_bytes", "400"},
        {"memory.max", "500"},
        {"memory.current", "100"}},
       400},
      {"not a list of groups", "nonsense\n1:2\n::\n", {}, SIZE_MAX},
  };
  for (const Case& c : kCases) {
    char name[] = "/tmp/bitcpm_cgroup_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    const std::filesystem::path root(name);
    for (const File& file : c.files) {
      std::filesystem::create_directories((root / file.path).parent_path());
      std::ofstream(root / file.path) << file.text;
    }
    EXPECT_EQ(cgroup_memory_left(c.proc_cgroup, name), c.left) << c.name;
    std::filesystem::remove_all(root);
  }
}

// Protects: this process's own figures are read at all.
TEST(MemoryBudget, OfThisProcess) {
  EXPECT_GT(resident_bytes(), std::size_t{1} << 20);
  EXPECT_GT(usable_memory_bytes(), std::size_t{1} << 20);
  EXPECT_LT(usable_memory_bytes(), SIZE_MAX);
}

}  // namespace
}  // namespace bitcpm
