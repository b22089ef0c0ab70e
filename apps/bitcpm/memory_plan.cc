#include "memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/check.h"
#include "console.h"

namespace bitcpm {
namespace {

constexpr std::size_t kDefaultKvLimit = std::size_t{4} << 30;

// Bytes the KV cache may take. The operating system would promise more than there is and kill the
// process once the cache fills, so that a size asked for is checked now.
Result<std::size_t> choose_budget(const MemoryRequest& request) {
  if (!request.kv_cache_bytes) return std::min(kDefaultKvLimit, request.usable_bytes / 4);
  const auto wanted = static_cast<std::size_t>(*request.kv_cache_bytes);
  if (wanted > request.usable_bytes) {
    return Error{Errc::kExhausted,
                 fmt::format("--kv-cache-memory-bytes {} ({}) is more than the usable memory, {}",
                             wanted, human_bytes(wanted), human_bytes(request.usable_bytes))};
  }
  return wanted;
}

}  // namespace

Result<std::int32_t> choose_max_model_len(const ModelConfig& config,
                                          std::optional<std::int64_t> wanted) {
  const std::int64_t limit = config.max_position_embeddings;
  const std::int64_t length = wanted.value_or(limit);
  if (length > limit) {
    return Error{
        Errc::kInvalid,
        fmt::format("--max-model-len {} is more than the model's max_position_embeddings {}",
                    length, limit)};
  }
  return static_cast<std::int32_t>(length);
}

Result<MemoryPlan> plan_memory(const ModelConfig& config, const MemoryRequest& request) {
  BITCPM_CHECK(request.kv_bytes_per_token > 0 && request.kv_block_tokens > 0);
  BITCPM_ASSIGN(const std::int32_t length, choose_max_model_len(config, request.max_model_len));
  BITCPM_ASSIGN(const std::size_t budget, choose_budget(request));
  const auto block_tokens = static_cast<std::size_t>(request.kv_block_tokens);
  const std::size_t block_bytes = block_tokens * request.kv_bytes_per_token;
  const std::size_t blocks_per_request =
      (static_cast<std::size_t>(length) + block_tokens - 1) / block_tokens;

  // Both factors are int32, so the product fits.
  const std::size_t useful_blocks =
      blocks_per_request * static_cast<std::size_t>(request.max_num_seqs);
  const std::size_t blocks = std::min(budget / block_bytes, useful_blocks);
  if (blocks < blocks_per_request) {
    std::string advice;
    if (blocks > 0) advice = fmt::format("; --max-model-len {} would fit", blocks * block_tokens);
    return Error{
        Errc::kExhausted,
        fmt::format("the KV cache of one request of {} tokens takes {}, but it may take {}{}",
                    length, human_bytes(blocks_per_request * block_bytes), human_bytes(budget),
                    advice)};
  }
  return MemoryPlan{length, blocks * block_bytes, static_cast<std::int64_t>(blocks * block_tokens)};
}

}  // namespace bitcpm
