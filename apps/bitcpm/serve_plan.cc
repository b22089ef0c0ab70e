#include "serve_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/memory_budget.h"
#include "engine/sampler.h"

namespace bitcpm {
namespace {

LogprobsMode logprobs_mode_of(std::string_view name) {
  if (name == "processed_logprobs") return LogprobsMode::kProcessedLogprobs;
  if (name == "raw_logits") return LogprobsMode::kRawLogits;
  if (name == "processed_logits") return LogprobsMode::kProcessedLogits;
  return LogprobsMode::kRawLogprobs;  // the flag takes no fifth word
}

}  // namespace

EngineConfig engine_limits(const ServeOptions& options) {
  EngineConfig config;
  config.enable_prefix_caching = options.prefix_caching;
  const auto choose = [](OptionalCount given, std::int32_t& target) {
    if (given) target = static_cast<std::int32_t>(*given);
  };
  choose(options.max_num_seqs, config.max_num_seqs);
  choose(options.max_num_batched_tokens, config.max_num_batched_tokens);
  choose(options.max_logprobs, config.max_logprobs);
  if (options.max_num_queued_reqs) {
    const auto in_flight = static_cast<std::int32_t>(*options.max_num_queued_reqs);
    config.max_num_seqs = std::min(config.max_num_seqs, in_flight);
    config.max_waiting_requests = in_flight - config.max_num_seqs;
  }
  if (options.kv_cache_metrics) {
    config.kv_cache_metrics_sample = options.kv_cache_metrics_sample.value_or(0.01f);
  }
  config.logprobs_mode = logprobs_mode_of(options.logprobs_mode);
  config.speculation = options.model.speculation;
  return config;
}

std::string step_size_error(const ServeOptions& options) {
  const EngineConfig config = engine_limits(options);
  if (config.max_num_batched_tokens >= config.max_num_seqs) return {};
  const auto given = [](OptionalCount count) { return count ? "" : " (the default)"; };
  return fmt::format("--max-num-batched-tokens {}{} is less than --max-num-seqs {}{}",
                     config.max_num_batched_tokens, given(options.max_num_batched_tokens),
                     config.max_num_seqs, given(options.max_num_seqs));
}

Result<ServePlan> plan_serving(const ServeOptions& options) {
  BITCPM_ASSIGN(ModelSetup setup, load_model_setup(options.model));
  EngineConfig config = engine_limits(options);
  BITCPM_ASSIGN(MemoryRequest request,
                memory_request(setup, setup.max_model_len, config.max_num_seqs,
                               config.max_num_batched_tokens));
  request.kv_cache_bytes = options.kv_cache_bytes;
  request.utilization = options.gpu_memory_utilization;
  BITCPM_ASSIGN(MemoryPlan memory, plan_memory(request));
  config.max_model_len = memory.max_model_len;
  config.kv_cache_bytes = memory.kv_cache_bytes;
  config.kv_cache_dtype = setup.kv_cache_dtype;
  return ServePlan{std::move(setup), memory, config};
}

}  // namespace bitcpm
