#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "commands.h"
#include "endpoint.h"
#include "eval_bounds.h"
#include "eval_windows.h"
#include "measure/evaluate.h"
#include "measure/greedy_texts.h"
#include "measure/layer_comparison.h"
#include "model_setup.h"

namespace bitcpm {

// What all `eval` commands are asked.
struct EvalOptions {
  ModelOptions model;
  TextOptions text;
  bool json = false;

  // Of some of them.
  std::string a, b;       // compare, layers
  std::string save_file;  // ppl, compare
  OptionalCount greedy;   // ppl with --save, compare, endpoint
  OptionalCount greedy_tokens;
  bool across_models = false;  // compare
  BoundLimits bounds;
  std::optional<float> max_error;  // layers
  std::optional<float> min_cosine;
  EndpointOptions endpoint;  // endpoint, with a side in `a` to compare it with
  std::string tokenizer;
  bool send_text = false;
  OptionalCount top_logprobs;
};

// Each prints its report; docs/accuracy.md says what the figures mean.
Result<ExitCode> eval_ppl(const EvalOptions& options);
Result<ExitCode> eval_compare(const EvalOptions& options);
Result<ExitCode> eval_layers(const EvalOptions& options);
Result<ExitCode> eval_endpoint(const EvalOptions& options);

// What the commands and `report` share.
struct ComparedRuns {
  LogitsComparison logits;
  GreedyComparison greedy;
};

json::object perplexity_json(const Perplexity& perplexity);
json::array losses_json(std::span<const WindowLoss> losses);
json::object comparison_json(const ComparedRuns& runs);
json::array quantiles_json(std::span<const double> values);  // 101, least to largest
json::object greedy_json(const GreedyComparison& greedy);
std::string describe_greedy(const GreedyComparison& greedy);
std::string percent_text(double share);
json::array layers_json(std::span<const PointDrift> points, std::int32_t num_layers);

// Runs the texts of `side` greedily, or takes what its saved run kept.
Result<std::vector<GreedyText>> side_greedy(EvalSide& side, std::span<const EvalWindow> windows,
                                            const EvalOptions& options);

// With a progress bar.
Result<ComparedRuns> compare_sides(EvalSide& a, EvalSide& b, std::span<const EvalWindow> windows,
                                   const EvalOptions& options);
Result<std::vector<PointDrift>> compare_side_layers(EvalSide& a, EvalSide& b,
                                                    std::span<const EvalWindow> windows);

// Errors: kIo.
Status print_all(const std::string& text);

}  // namespace bitcpm
