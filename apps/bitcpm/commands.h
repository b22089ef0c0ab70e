#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace bitcpm {

// How the program ends; README.md and --help name them.
enum class ExitCode { kSuccess = 0, kFailure = 1, kUsage = 2, kInterrupted = 130 };

// One subcommand: its flags, already added to `root`, and what it does once they are parsed.
struct Command {
  CLI::App* app;
  std::function<Result<ExitCode>()> run;  // an Error is printed, and means kFailure

  // What no single flag can know: empty, or why the flags together make no sense: kUsage.
  std::function<std::string()> usage_error = [] { return std::string(); };
};

Command make_serve_command(CLI::App& root);
Command make_plan_command(CLI::App& root);
Command make_complete_command(CLI::App& root);
Command make_chat_command(CLI::App& root);
Command make_inspect_command(CLI::App& root);
Command make_pack_command(CLI::App& root);
Command make_synth_command(CLI::App& root);
Command make_bench_command(CLI::App& root);
Command make_eval_command(CLI::App& root);
Command make_report_command(CLI::App& root);
Command make_version_command(CLI::App& root);

// What `bitcpm version` prints, without the last line break.
std::string version_text();

// "bitcpm 0.1.0"
std::string program_name();

}  // namespace bitcpm
