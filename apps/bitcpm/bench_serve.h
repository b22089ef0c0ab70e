#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"
#include "commands.h"

namespace bitcpm {

// `bench serve`: a load over HTTP against any OpenAI-compatible server.
Command make_bench_serve_command(CLI::App& bench);

}  // namespace bitcpm
