#include "memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "bench_report.h"
#include "console.h"
#include "io/rope_config.h"

namespace bitcpm {
namespace {

constexpr std::size_t kDefaultKvLimit = std::size_t{4} << 30;

std::string rest_of(const MemoryRequest& request) {
  return fmt::format("weights {}, scratch {} and the rest {}", human_bytes(request.weights_bytes),
                     human_bytes(request.scratch_bytes), human_bytes(request.other_bytes));
}

// Bytes the KV cache may take. The operating system would promise more than there is and kill the
// process once the cache fills, so that what is asked for is checked now.
Result<std::size_t> choose_budget(const MemoryRequest& request, std::size_t allowed) {
  const std::size_t left =
      request.usable_bytes - std::min(request.usable_bytes, request.scratch_bytes);
  if (request.kv_cache_bytes) {
    const auto wanted = static_cast<std::size_t>(*request.kv_cache_bytes);
    if (wanted <= left) return wanted;
    return Error{Errc::kExhausted,
                 fmt::format("--kv-cache-memory-bytes {} ({}) is more than the {} left of the {} "
                             "that this process may use: {}",
                             wanted, human_bytes(wanted), human_bytes(left), human_bytes(allowed),
                             rest_of(request))};
  }
  if (!request.utilization) return std::min({kDefaultKvLimit, request.usable_bytes / 4, left});
  const auto share = static_cast<std::size_t>(*request.utilization * static_cast<double>(allowed));
  const std::size_t rest = request.weights_bytes + request.scratch_bytes + request.other_bytes;
  if (share > rest) return std::min(share - rest, left);
  return Error{
      Errc::kExhausted,
      fmt::format("--gpu-memory-utilization {:g} of the {} that this process may use is {}, "
                  "which leaves nothing for a KV cache: {}",
                  *request.utilization, human_bytes(allowed), human_bytes(share),
                  rest_of(request))};
}

}  // namespace

bool long_max_model_len_allowed() {
  const char* value = std::getenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN");
  return value != nullptr && std::string_view(value) == "1";
}

Result<std::int32_t> choose_max_model_len(ModelConfig& config, std::optional<std::int64_t> wanted,
                                          bool allow_long) {
  const std::int64_t limit = config.max_position_embeddings;
  const std::int64_t length = wanted.value_or(limit);
  if (length <= limit) return static_cast<std::int32_t>(length);
  if (!allow_long || length > kPositionRange.most) {
    return Error{
        Errc::kInvalid,
        fmt::format("--max-model-len {} is more than {}", length,
                    allow_long ? fmt::format("{}, the most there is", kPositionRange.most)
                               : fmt::format("the model's max_position_embeddings {}; "
                                             "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 in the environment "
                                             "allows it, by the model's long rope factors",
                                             limit))};
  }
  const auto positions = static_cast<std::int32_t>(length);
  config.rope = rope_for_positions(std::move(config.rope), positions);
  config.max_position_embeddings = positions;
  return positions;
}

Result<MemoryPlan> plan_memory(const MemoryRequest& request) {
  const std::size_t token_bytes = kv_bytes_per_token(request.kv_shape);
  BITCPM_CHECK(token_bytes > 0 && request.kv_block_tokens > 0 && request.max_model_len > 0);
  const std::size_t allowed = request.usable_bytes + request.weights_bytes + request.other_bytes;
  BITCPM_ASSIGN(const std::size_t budget, choose_budget(request, allowed));
  const auto block_tokens = static_cast<std::size_t>(request.kv_block_tokens);
  const std::size_t block_bytes = block_tokens * token_bytes;
  const std::size_t blocks_per_request =
      (static_cast<std::size_t>(request.max_model_len) + block_tokens - 1) / block_tokens;

  std::size_t blocks = budget / block_bytes;
  if (!request.kv_cache_bytes && !request.utilization) {
    // Both factors are int32, so the product fits.
    blocks = std::min(blocks, blocks_per_request * static_cast<std::size_t>(request.max_num_seqs));
  }
  if (blocks < blocks_per_request) {
    std::string advice;
    if (blocks > 0) advice = fmt::format("; --max-model-len {} would fit", blocks * block_tokens);
    return Error{Errc::kExhausted,
                 fmt::format("the KV cache of one request of {} tokens takes {}, but it may take "
                             "{}{}",
                             request.max_model_len, human_bytes(blocks_per_request * block_bytes),
                             human_bytes(budget), advice)};
  }
  return MemoryPlan{.max_model_len = request.max_model_len,
                    .max_num_seqs = request.max_num_seqs,
                    .kv_shape = request.kv_shape,
                    .weights_bytes = request.weights_bytes,
                    .kv_cache_bytes = blocks * block_bytes,
                    .scratch_bytes = request.scratch_bytes,
                    .other_bytes = request.other_bytes,
                    .allowed_bytes = allowed,
                    .kv_tokens = static_cast<std::int64_t>(blocks * block_tokens)};
}

std::string describe_kv(const MemoryPlan& plan) {
  return fmt::format("{} tokens of {}, {} each; {:.2f} requests of {} tokens at once",
                     with_commas(plan.kv_tokens), kv_cache_dtype_name(plan.kv_shape.dtype),
                     human_bytes(kv_bytes_per_token(plan.kv_shape)), plan.concurrency(),
                     with_commas(plan.max_model_len));
}

std::string plan_table(const MemoryPlan& plan) {
  const std::vector<TableRow> rows = {
      {"weights", human_bytes(plan.weights_bytes)},
      {"KV cache, when full", human_bytes(plan.kv_cache_bytes)},
      {"scratch of passes and sampling", human_bytes(plan.scratch_bytes)},
      {"program, tokenizer and the rest", human_bytes(plan.other_bytes)},
      {"in all", human_bytes(plan.total_bytes())},
      {"of what this process may use", human_bytes(plan.allowed_bytes)}};
  return format_table(rows, 1) + "KV cache: " + describe_kv(plan) + "\n";
}

json::object plan_json(const MemoryPlan& plan) {
  return {{"weights_bytes", plan.weights_bytes},
          {"kv_cache_bytes", plan.kv_cache_bytes},
          {"scratch_bytes", plan.scratch_bytes},
          {"other_bytes", plan.other_bytes},
          {"total_bytes", plan.total_bytes()},
          {"allowed_bytes", plan.allowed_bytes},
          {"kv_cache_dtype", kv_cache_dtype_name(plan.kv_shape.dtype)},
          {"kv_bytes_per_token", kv_bytes_per_token(plan.kv_shape)},
          {"kv_cache_tokens", plan.kv_tokens},
          {"max_model_len", plan.max_model_len},
          {"max_num_seqs", plan.max_num_seqs},
          {"max_concurrency", plan.concurrency()}};
}

}  // namespace bitcpm
