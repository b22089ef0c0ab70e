#pragma once

#include <cstddef>
#include <cstdint>

namespace bitcpm {

// All limits of one engine, fixed at start-up.
struct EngineConfig {
  std::int32_t max_model_len = 0;             // prompt + generated tokens of one request
  std::int32_t max_num_seqs = 64;             // requests running at once
  std::int32_t max_num_batched_tokens = 512;  // prefill + decode, per forward pass
  std::int32_t max_waiting_requests = 1024;   // beyond: refused as busy
  std::size_t kv_cache_bytes = 0;
  std::int32_t max_logprobs = 20;  // vLLM's default; -1 as a request value is not supported
};

}  // namespace bitcpm
