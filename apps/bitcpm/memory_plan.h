#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "io/model_config.h"

namespace bitcpm {

struct MemoryRequest {
  std::optional<std::int64_t> max_model_len;   // absent: the model's max_position_embeddings
  std::optional<std::int64_t> kv_cache_bytes;  // absent: a share of usable_bytes
  std::int32_t max_num_seqs = 1;
  std::int32_t kv_block_tokens = 32;
  std::size_t kv_bytes_per_token = 0;
  std::size_t usable_bytes = 0;  // what the process may still take, the weights being loaded
};

struct MemoryPlan {
  std::int32_t max_model_len = 0;
  std::size_t kv_cache_bytes = 0;  // whole blocks
  std::int64_t kv_tokens = 0;
};

// `wanted`, or the model's max_position_embeddings if absent. Errors: kInvalid (longer than that).
Result<std::int32_t> choose_max_model_len(const ModelConfig& config,
                                          std::optional<std::int64_t> wanted);

// How long a request may be and how much KV cache there is: by default min(4 GiB, a quarter of the
// usable memory), and never more than max_num_seqs requests of full length could fill.
// Errors: kInvalid (longer than the model's positions), kExhausted (kv_cache_bytes exceeds
// usable_bytes, or not even one request of full length fits; the message says which
// --max-model-len does).
Result<MemoryPlan> plan_memory(const ModelConfig& config, const MemoryRequest& request);

}  // namespace bitcpm
