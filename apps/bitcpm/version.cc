#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "commands.h"
#include "console.h"

namespace bitcpm {
namespace {

#ifdef __clang__
constexpr std::string_view kCompiler = "clang " __clang_version__;
#else
constexpr std::string_view kCompiler = "gcc " __VERSION__;
#endif

// What BITCPM_ISA may name, lowest first on each architecture. The backend says which of them are
// built in and which of those this CPU has.
constexpr const char* kLevels[] = {"scalar", "avx2", "avxvnni", "avx512vnni",
                                   "amx",    "neon", "dotprod", "i8mm"};

struct Levels {
  std::vector<std::string> built_in;
  std::vector<std::string> runnable;
};

Levels find_levels() {
  Levels levels;
  for (const char* level : kLevels) {
    const auto backend =
        make_cpu_backend({.threads = 1, .isa = level, .numerics = Numerics::kExact});
    if (backend.ok()) levels.runnable.emplace_back(level);
    if (backend.ok() || backend.error().code == Errc::kUnsupported) {
      levels.built_in.emplace_back(level);
    }
  }
  return levels;
}

std::string best_of(const Levels& levels) {
  return levels.runnable.empty() ? "none" : levels.runnable.back();
}

std::string version_json() {
  const Levels levels = find_levels();
  return pretty_json(json::object{
      {"version", BITCPM_VERSION},
      {"compiler", kCompiler},
      {"cpu_levels_built_in", json::array(levels.built_in.begin(), levels.built_in.end())},
      {"cpu_levels", json::array(levels.runnable.begin(), levels.runnable.end())},
      {"cpu_level", best_of(levels)}});
}

Result<ExitCode> run_version(bool as_json) {
  if (!print((as_json ? version_json() : version_text()) + "\n")) {
    return Error{Errc::kIo, "standard output cannot be written"};
  }
  return ExitCode::kSuccess;
}

}  // namespace

std::string version_text() {
  const Levels levels = find_levels();
  return fmt::format("bitcpm {}\ncompiler {}\nCPU levels built in: {}; this CPU runs {} (auto: {})",
                     BITCPM_VERSION, kCompiler, fmt::join(levels.built_in, ", "),
                     fmt::join(levels.runnable, ", "), best_of(levels));
}

std::string program_name() { return "bitcpm " BITCPM_VERSION; }

Command make_version_command(CLI::App& root) {
  auto as_json = std::make_shared<bool>(false);  // lives as long as its flag and run
  CLI::App* app = root.add_subcommand("version", "Version, compiler and CPU levels");
  app->footer("Example:\n  bitcpm version --json");
  app->add_flag("--json", *as_json, "One JSON object");
  return {app, [as_json] { return run_version(*as_json); }};
}

}  // namespace bitcpm
