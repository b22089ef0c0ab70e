#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "model_setup.h"
#include "option_values.h"
#include "serve_edge.h"

namespace bitcpm {

// The flags of `serve`: names, spellings and defaults of vLLM's where it has them.
struct ServeOptions {
  ModelOptions model;
  EdgeOptions edge;
  std::vector<std::string> served_model_names;  // empty: the model as given
  OptionalCount max_num_seqs;
  OptionalCount max_num_batched_tokens;
  OptionalCount max_num_queued_reqs;  // running ones included, as vLLM counts
  OptionalCount max_logprobs;
  std::string logprobs_mode = "raw_logprobs";
  bool prefix_caching = true;
  OptionalCount kv_cache_bytes;
  bool kv_cache_metrics = false;
  std::optional<float> kv_cache_metrics_sample;
  std::optional<float> gpu_memory_utilization;
  std::string dtype = "auto";
  std::string generation_config = "auto";
  std::string tokenizer;
  RequestDefaults defaults;
  std::string tool_call_parser;
  std::string fingerprint_mode = "full";
  std::string fingerprint_value;
  std::string fixed;  // values of flags that have one setting only: checked, then of no use
};

void add_serve_options(CLI::App& app, ServeOptions& options);

// Those of the accepted flags that were given and mean nothing here, for the log.
std::vector<std::string> ignored_flags(const CLI::App& app);

// Spellings that vLLM takes and CLI11 does not: --max_model_len for --max-model-len, and the
// two-letter -tp, -pp and -dp.
void normalise_arguments(std::vector<std::string>& arguments);

}  // namespace bitcpm
