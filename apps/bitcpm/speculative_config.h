#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/speculation.h"

namespace bitcpm {

// The value of --speculative-config: a JSON object with vLLM's keys. "method" must be "ngram", the
// only one that needs no second model; "num_speculative_tokens" must be there. If one of
// "prompt_lookup_min" and "prompt_lookup_max" is given, the other is the same, as in vLLM.
// Errors: kInvalid or kUnsupported, naming the key.
Result<SpeculationConfig> parse_speculative_config(std::string_view text);

// An option that reads one.
CLI::Option* add_speculative_config(CLI::App& app, const std::string& flags,
                                    SpeculationConfig& target);

}  // namespace bitcpm
