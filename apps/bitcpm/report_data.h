#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "bench_source.h"
#include "eval_runs.h"

namespace bitcpm {

struct ReportOptions {
  ModelOptions model;         // numerics: what B is and what is timed
  std::string shape;          // time this published shape instead of the model
  std::string group = "128";  // of its ternary weights
  TextOptions text;
  bool like_reference = false;
  OptionalCount input_len, latency_output_len, output_len, iterations;
  std::vector<std::int64_t> batch;
  std::string serve_file;  // the JSON of a `bench serve`, taken in
};

// Measures speed, load, accuracy and layers, with progress bars: one JSON object from which every
// form of the report is made (docs/benchmarks.md lists its keys). Errors: of whatever fails.
Result<json::object> measure_report(const ReportOptions& options);

// What the deployment that bitcpm replaces says of itself: BitCPM4-CANN-1B on one Ascend 910B NPU
// with vLLM-Ascend 0.18.0rc1, in bfloat16. Figures of its documentation, not ours.
json::object reference_deployment();

// Whether an object is such a report. Errors: kCorrupt, naming what is missing.
Status check_report(const json::value& report);

}  // namespace bitcpm
