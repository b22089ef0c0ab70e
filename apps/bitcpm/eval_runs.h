#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "commands.h"
#include "endpoint.h"
#include "eval_windows.h"
#include "measure/evaluate.h"
#include "measure/greedy_texts.h"
#include "measure/layer_comparison.h"
#include "model_setup.h"

namespace bitcpm {

// A measure of a comparison that a flag may bound.
enum class Bound {
  kMaxKl,
  kMaxPplChange,
  kMinCosine,
  kMinWorstCosine,
  kMaxMse,
  kMaxAbs,
  kMinTop1,
  kMinTop5,
  kCount
};

// What all `eval` commands are asked.
struct EvalOptions {
  ModelOptions model;
  TextOptions text;
  bool json = false;

  // Of some of them.
  std::string a, b;       // compare, layers
  std::string save_file;  // ppl, compare
  OptionalCount greedy;   // ppl with --save, compare
  OptionalCount greedy_tokens;
  bool across_models = false;  // compare
  std::array<std::optional<float>, static_cast<std::size_t>(Bound::kCount)> bounds;
  std::optional<float> max_error;  // layers
  std::optional<float> min_cosine;
  EndpointOptions endpoint;  // endpoint, with a side in `a` to compare it with
  std::string tokenizer;
  bool send_text = false;
};

// Each prints its report; docs/accuracy.md says what the figures mean.
Result<ExitCode> eval_ppl(const EvalOptions& options);
Result<ExitCode> eval_compare(const EvalOptions& options);
Result<ExitCode> eval_layers(const EvalOptions& options);
Result<ExitCode> eval_endpoint(const EvalOptions& options);

// The flag of a bound, its help, and whether it is a least value.
struct BoundFlag {
  Bound bound;
  const char* flag;
  const char* help;
  bool is_least;
};
std::span<const BoundFlag> bound_flags();

// What the commands and `report` share.
struct ComparedRuns {
  LogitsComparison logits;
  GreedyComparison greedy;
};

json::object perplexity_json(const Perplexity& perplexity);
json::array losses_json(std::span<const WindowLoss> losses);
json::object comparison_json(const ComparedRuns& runs);
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
