#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/result.h"

namespace bitcpm {

// One subcommand: its flags, already added to `root`, and what it does once they are parsed.
// Flags that cannot be honoured are refused by CLI11 (exit 2), whatever fails later by run (exit
// 1).
struct Command {
  CLI::App* app;
  std::function<Status()> run;
};

Command make_serve_command(CLI::App& root);
Command make_complete_command(CLI::App& root);
Command make_chat_command(CLI::App& root);
Command make_inspect_command(CLI::App& root);
Command make_synth_command(CLI::App& root);
Command make_version_command(CLI::App& root);

}  // namespace bitcpm
