#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "io/model_config.h"
#include "io/model_files.h"
#include "model/loader.h"
#include "model/synthetic.h"
#include "model_setup.h"
#include "sampling_options.h"

namespace bitcpm {

// What all `bench` commands are asked.
struct BenchOptions {
  ModelOptions model;
  std::string like;           // a published shape instead of a checkpoint
  std::string group = "128";  // of its ternary weights
  OptionalCount repeat;
  bool json = false;

  // Of some of them.
  std::vector<std::int64_t> batch;    // attention, decode, throughput; the first one: latency
  std::vector<std::int64_t> context;  // attention; so is the next one
  OptionalCount tokens;
  std::vector<std::int64_t> prompt_tokens;  // decode, prefill
  OptionalCount max_tokens;                 // decode
  SamplingOptions sampling;                 // decode; a temperature left out is 0
  OptionalCount logprobs;                   // decode
  OptionalCount input_len, output_len;      // latency, throughput; so are the next two
  OptionalCount warmups, iterations;

  int repeats() const { return static_cast<int>(repeat.value_or(3)); }
};

// The model to measure: a checkpoint, or a published shape with weights made up in memory.
class BenchSource {
 public:
  static Result<BenchSource> open(const BenchOptions& options);

  const std::string& name() const { return name_; }
  const ModelConfig& config() const { return config_; }

  // With a progress bar. `backend` must outlive the model.
  Result<LoadedModel> load(Backend& backend);

  // Reads the projections of the first layer and then the head, one at a time.
  using UseLinear =
      FunctionRef<Status(const std::string& name, QuantizedMatrix matrix, bool is_head)>;
  Status each_linear(ThreadPool& pool, UseLinear use);

 private:
  BenchSource() = default;

  std::string name_;
  ModelConfig config_;
  std::optional<ModelFiles> files_;        // of a checkpoint
  const SyntheticShape* shape_ = nullptr;  // else
  std::int64_t group_ = 0;
};

}  // namespace bitcpm
