#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "backend/kv_shape.h"
#include "engine/speculation.h"

namespace bitcpm {

// What the reported numbers are, by vLLM's names for --logprobs-mode. Raw: of the model's logits.
// Processed: after bans, biases, penalties and, unless greedy, temperature and filters; what was
// filtered out is minus infinity. Prompt tokens are always scored raw, as log-probabilities.
enum class LogprobsMode : std::uint8_t {
  kRawLogprobs,
  kProcessedLogprobs,
  kRawLogits,
  kProcessedLogits,
};

// All limits of one engine, fixed at start-up.
struct EngineConfig {
  std::int32_t max_model_len = 0;             // prompt + generated tokens of one request
  std::int32_t max_num_seqs = 64;             // requests running at once
  std::int32_t max_num_batched_tokens = 512;  // prefill + decode, per forward pass
  std::int32_t max_waiting_requests = 1024;   // beyond: refused as busy
  std::size_t kv_cache_bytes = 0;
  // Unset: what the numerics are described with.
  std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt;
  bool enable_prefix_caching = true;   // full blocks are found again by their content
  double kv_cache_metrics_sample = 0;  // share of the KV blocks whose residency is recorded
  SpeculationConfig speculation = {};  // off unless it says how many tokens
  std::int32_t max_logprobs = 20;  // most likely tokens a request may ask for; -1: the vocabulary
  LogprobsMode logprobs_mode = LogprobsMode::kRawLogprobs;
};

}  // namespace bitcpm
