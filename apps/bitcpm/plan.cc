#include <fmt/format.h>

#include <memory>
#include <string>

#include "bench_report.h"
#include "commands.h"
#include "console.h"
#include "serve_plan.h"

namespace bitcpm {
namespace {

struct PlanOptions {
  ServeOptions serve;
  bool json = false;
};

Result<ExitCode> run_plan(const PlanOptions& options) {
  BITCPM_ASSIGN(const ServePlan plan, plan_serving(options.serve));
  const std::string_view numerics = numerics_name(options.serve.model.numerics);
  std::string text;
  if (options.json) {
    json::object root{{"model", plan.setup.name},
                      {"numerics", numerics},
                      {"device", plan.setup.backend->description()}};
    for (auto& [key, value] : plan_json(plan.memory)) root[key] = value;
    text = pretty_json(root) + "\n";
  } else {
    text = fmt::format("memory plan: {}; {} numerics; {}\n\n{}", visible(plan.setup.name), numerics,
                       plan.setup.backend->description(), plan_table(plan.memory));
  }
  if (!print(text)) return Error{Errc::kIo, "standard output cannot be written"};
  return ExitCode::kSuccess;
}

}  // namespace

Command make_plan_command(CLI::App& root) {
  auto options = std::make_shared<PlanOptions>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("plan", "Show what serving a model would take in memory");
  add_serve_options(*app, options->serve);
  app->add_flag("--json", options->json, "One JSON object instead of the table");
  app->footer(
      "Takes the flags of serve, loads the model, prints the plan and serves nothing. Fails with\n"
      "the line that serve would fail with if the plan does not fit.\n"
      "Example:\n  bitcpm plan --max-model-len 2048 --gpu-memory-utilization 0.5 --json");
  return {app, [options] { return run_plan(*options); },
          [options] { return step_size_error(options->serve); }};
}

}  // namespace bitcpm
