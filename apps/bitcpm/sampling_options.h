#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "io/model_config.h"
#include "option_values.h"

namespace bitcpm {

// How `complete` and `chat` draw tokens; what is left out comes from the model's
// generation_config.json, as on the server, and then from SamplingParams.
struct SamplingOptions {
  std::optional<float> temperature;
  std::optional<float> top_p;
  OptionalCount top_k;
  std::optional<float> min_p;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::optional<float> repetition_penalty;
  std::optional<std::uint64_t> seed;
  OptionalCount max_tokens;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

// Adds all flags but --max-tokens, whose default differs.
void add_sampling_options(CLI::App& app, SamplingOptions& options);

// Those of them that are numbers: temperature, filters and penalties. `otherwise`: what applies in
// place of a --temperature and so on, for the help.
void add_distribution_options(CLI::App& app, SamplingOptions& options,
                              const std::string& temperature_default, const std::string& otherwise);

// Everything but max_tokens. Without --seed, a random seed.
SamplingParams make_sampling_params(const SamplingOptions& options,
                                    const GenerationDefaults& defaults);

}  // namespace bitcpm
