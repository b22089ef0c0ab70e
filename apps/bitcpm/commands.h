#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace bitcpm {

// One subcommand: its flags, already added to `root`, and what it does once they are parsed.
struct Command {
  CLI::App* app;
  std::function<Status()> run;  // failures: exit 1

  // What no single flag can know: empty, or why the flags together make no sense. Exit 2.
  std::function<std::string()> usage_error = [] { return std::string(); };
};

Command make_serve_command(CLI::App& root);
Command make_complete_command(CLI::App& root);
Command make_chat_command(CLI::App& root);
Command make_inspect_command(CLI::App& root);
Command make_synth_command(CLI::App& root);
Command make_version_command(CLI::App& root);

}  // namespace bitcpm
