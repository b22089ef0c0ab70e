#include "kernels/dispatch.h"

namespace bitcpm::kernels {
namespace {

struct IsaLevel {
  std::string_view name;
  bool (*supported)(const CpuFeatures&);  // implies the level that this one completes
  void (*install)(KernelTable&);          // overlays only what it improves
};

constexpr IsaLevel kIsaLevels[] = {
    {"scalar", [](const CpuFeatures&) { return true; }, install_scalar},
#if defined(__x86_64__)
    {"avx2", [](const CpuFeatures& cpu) { return cpu.avx2; }, install_avx2},
    {"avxvnni", [](const CpuFeatures& cpu) { return cpu.avxvnni; }, install_avxvnni},
    {"avx512vnni", [](const CpuFeatures& cpu) { return cpu.avx512vnni; }, install_avx512vnni},
    {"amx", [](const CpuFeatures& cpu) { return cpu.amx; }, install_amx},
#elif defined(__aarch64__)
    {"neon", [](const CpuFeatures& cpu) { return cpu.neon; }, install_neon},
    {"dotprod", [](const CpuFeatures& cpu) { return cpu.dotprod; }, install_dotprod},
    {"i8mm", [](const CpuFeatures& cpu) { return cpu.i8mm; }, install_i8mm},
#endif
};

std::string known_levels() {
  std::string names = "auto";
  for (const IsaLevel& level : kIsaLevels) names += ", " + std::string(level.name);
  return names;
}

}  // namespace

Result<KernelTable> make_kernel_table(const CpuFeatures& cpu, std::string_view want) {
  KernelTable table{};
  for (const IsaLevel& level : kIsaLevels) {
    const bool wanted = level.name == want;
    if (level.supported(cpu)) {
      level.install(table);
    } else if (wanted) {
      return Error{Errc::kUnsupported, "this CPU lacks the level " + std::string(want)};
    }
    if (wanted) return table;
  }
  if (want == "auto") return table;
  return Error{Errc::kInvalid,
               "unknown CPU level '" + std::string(want) + "'; known: " + known_levels()};
}

std::vector<std::string> runnable_levels(const CpuFeatures& cpu) {
  std::vector<std::string> names;
  for (const IsaLevel& level : kIsaLevels) {
    if (level.supported(cpu)) names.emplace_back(level.name);
  }
  return names;
}

}  // namespace bitcpm::kernels
