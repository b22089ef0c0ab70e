#pragma once

#include <vector>

#include "base/function_ref.h"
#include "base/json.h"
#include "base/result.h"
#include "measure/stream_run.h"
#include "model/model.h"

namespace bitcpm {

// Some runs of one load, end to end: prompts and answers.
struct OfflineRuns {
  StreamLoad load;
  std::vector<double> seconds;  // of every run

  double mean_seconds() const;
  double output_tokens_per_s() const;  // of the mean
  double total_tokens_per_s() const;   // the prompts' too
};

// `warmups` runs that do not count, then `iterations`; all streams of a load start at once.
// `progress` gets the share done. Errors: those of start_engine_for().
Result<OfflineRuns> run_offline(const Model& model, const StreamLoad& load, int warmups,
                                int iterations, FunctionRef<void(double share)> progress);

// The fields of `vllm bench latency` and `vllm bench throughput` under their names, and a few more.
json::object latency_json(const OfflineRuns& runs);
json::object throughput_json(const OfflineRuns& runs);

}  // namespace bitcpm
