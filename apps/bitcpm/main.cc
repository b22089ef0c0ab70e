#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/quote.h"
#include "commands.h"
#include "console.h"
#include "serve_flags.h"

namespace {

using bitcpm::ExitCode;

int report(ExitCode exit_code, const std::string& message) {
  bitcpm::print_note("error: " + message);
  return static_cast<int>(exit_code);
}

// CLI11 would only say that some command is missing.
std::string unknown_command(const CLI::App& app, const std::vector<std::string>& arguments) {
  if (arguments.empty()) return "which command? bitcpm --help lists them";
  const std::string& name = arguments.front();
  const auto matches = [&](const CLI::App* command) { return command->check_name(name); };
  if (app.get_option_no_throw(name) != nullptr || !app.get_subcommands(matches).empty()) return {};
  return "unknown command " + bitcpm::quote_name(name) + "; bitcpm --help lists them";
}

// A mistyped flag is the better news than the flag that is missing because of it.
std::string describe(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unexpected = app.remaining(true);
  if (unexpected.empty()) return error.what();
  return "unexpected argument " + bitcpm::quote_name(unexpected.front());
}

int run(int argc, char** argv) {
  CLI::App app("Runs BitCPM and MiniCPM4 language models with ternary weights.", "bitcpm");
  app.footer(
      "bitcpm COMMAND --help tells more. Exit codes: 0 success, 1 failure, 2 wrong usage,\n"
      "130 interrupted by Ctrl-C.");
  app.require_subcommand(1);
  app.set_version_flag("--version", bitcpm::version_text);
  // As Python's argparse, and so vLLM, has it. Every command inherits this.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const bitcpm::Command commands[] = {
      bitcpm::make_serve_command(app),    bitcpm::make_plan_command(app),
      bitcpm::make_complete_command(app), bitcpm::make_chat_command(app),
      bitcpm::make_inspect_command(app),  bitcpm::make_pack_command(app),
      bitcpm::make_synth_command(app),    bitcpm::make_bench_command(app),
      bitcpm::make_eval_command(app),     bitcpm::make_report_command(app),
      bitcpm::make_version_command(app),
  };
  try {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    bitcpm::normalise_arguments(arguments);
    if (const std::string unknown = unknown_command(app, arguments); !unknown.empty()) {
      return report(ExitCode::kUsage, unknown);
    }
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 wants so
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return report(ExitCode::kUsage, describe(app, error));
  }
  for (const bitcpm::Command& command : commands) {
    if (!command.app->parsed()) continue;
    if (const std::string wrong = command.usage_error(); !wrong.empty()) {
      return report(ExitCode::kUsage, wrong);
    }
    const bitcpm::Result<ExitCode> ended = command.run();
    if (!ended.ok()) return report(ExitCode::kFailure, ended.error().message);
    return static_cast<int>(*ended);
  }
  return static_cast<int>(ExitCode::kSuccess);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe or socket is an error of the write
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    return report(ExitCode::kFailure, "out of memory");
  } catch (const std::exception& error) {
    return report(ExitCode::kFailure, error.what());
  }
}
