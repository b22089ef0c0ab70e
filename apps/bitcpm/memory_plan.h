#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "backend/kv_shape.h"
#include "base/json.h"
#include "base/result.h"
#include "io/model_config.h"

namespace bitcpm {

// What the size of the KV cache follows from.
struct MemoryRequest {
  std::int32_t max_model_len = 0;
  std::optional<std::int64_t> kv_cache_bytes;  // as asked for
  // Else: this share of allowed_bytes, in (0, 1], less everything but the KV cache; as vLLM has it.
  std::optional<double> utilization;
  std::int32_t max_num_seqs = 1;
  std::int32_t kv_block_tokens = 32;
  KvShape kv_shape;
  std::size_t weights_bytes = 0;
  std::size_t scratch_bytes = 0;  // of passes and of sampling; not yet taken
  std::size_t other_bytes = 0;    // program, tokenizer and the rest
  std::size_t usable_bytes = 0;   // what the process may still take, weights and others loaded
};

// Every byte of a process that serves, once its KV cache is full.
struct MemoryPlan {
  std::int32_t max_model_len = 0;
  std::int32_t max_num_seqs = 0;
  KvShape kv_shape;
  std::size_t weights_bytes = 0;
  std::size_t kv_cache_bytes = 0;  // whole blocks
  std::size_t scratch_bytes = 0;
  std::size_t other_bytes = 0;
  std::size_t allowed_bytes = 0;  // what the process may take in all
  std::int64_t kv_tokens = 0;

  std::size_t total_bytes() const {
    return weights_bytes + kv_cache_bytes + scratch_bytes + other_bytes;
  }
  // Requests of full length that fit at once.
  double concurrency() const { return static_cast<double>(kv_tokens) / max_model_len; }
};

// Whether --max-model-len may exceed the model's max_position_embeddings: the environment variable
// VLLM_ALLOW_LONG_MAX_MODEL_LEN is 1, as vLLM asks for.
bool long_max_model_len_allowed();

// `wanted`, or the model's max_position_embeddings if absent. A longer one is kInvalid unless
// allow_long, and then the config becomes that of a model with so many positions.
Result<std::int32_t> choose_max_model_len(ModelConfig& config, std::optional<std::int64_t> wanted,
                                          bool allow_long);

// How much KV cache there is: as many bytes as asked for; or what is left of a share of the memory;
// or, by default, min(4 GiB, a quarter of the usable memory) and no more than max_num_seqs requests
// of full length could fill.
// Errors: kExhausted (it does not fit beside the rest, or not even one request of full length fits;
// the message says which --max-model-len does).
Result<MemoryPlan> plan_memory(const MemoryRequest& request);

// A table of the plan's parts, and its numbers as an object.
std::string plan_table(const MemoryPlan& plan);
json::object plan_json(const MemoryPlan& plan);

// "49,152 tokens of bfloat16, 12.3 kB each; 24.00 requests of 2,048 tokens at once"
std::string describe_kv(const MemoryPlan& plan);

}  // namespace bitcpm
