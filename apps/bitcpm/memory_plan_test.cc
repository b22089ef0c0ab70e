#include "memory_plan.h"

#include <gtest/gtest.h>

namespace bitcpm {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// Protects the KV budget: its default, its caps, and what is refused with which advice.
TEST(PlanMemory, Table) {
  struct Case {
    const char* name;
    std::optional<std::int64_t> length, kv_bytes;
    std::int32_t seqs;
    std::size_t usable;
    std::int64_t kv_tokens;  // 0: refused
    const char* complaint;
  };
  // 1 KiB per token, blocks of 32 tokens, a model of 4096 positions.
  constexpr Case kCases[] = {
      {"capped by what the requests can fill", {}, {}, 2, 1024 * kMiB, 2 * 4096, ""},
      {"a quarter of the usable memory", {}, {}, 64, 64 * kMiB, 16 * 1024, ""},
      {"4 GiB at most", {}, {}, 4096, 1024 * 1024 * kMiB, 4 * 1024 * 1024, ""},
      {"a length of no whole blocks is rounded up", 33, {}, 1, 1024 * kMiB, 64, ""},
      {"bytes as asked for, whole blocks", 64, 100 * 1024, 64, kMiB, 96, ""},
      {"longer than the model", 4097, {}, 1, 1024 * kMiB, 0, "--max-model-len 4097 is more than"},
      {"no room, with advice", {}, {}, 1, 4 * kMiB, 0, "--max-model-len 1024 would fit"},
      {"as many bytes as there are", 64, kMiB, 64, kMiB, 1024, ""},
      {"more bytes than there are", 64, 3 * kMiB, 1, kMiB, 0,
       "--kv-cache-memory-bytes 3145728 (3.1 MB) is more than the usable memory, 1.0 MB"},
      {"no room for one block", {}, 1000, 1, 1024 * kMiB, 0, "may take 1.0 kB"},
  };
  ModelConfig config;
  config.max_position_embeddings = 4096;
  for (const Case& c : kCases) {
    MemoryRequest request;
    request.max_model_len = c.length;
    request.kv_cache_bytes = c.kv_bytes;
    request.max_num_seqs = c.seqs;
    request.kv_bytes_per_token = 1024;
    request.usable_bytes = c.usable;
    const auto plan = plan_memory(config, request);
    ASSERT_EQ(plan.ok(), c.kv_tokens > 0) << c.name;
    if (plan.ok()) {
      EXPECT_EQ(plan->kv_tokens, c.kv_tokens) << c.name;
      EXPECT_EQ(plan->kv_cache_bytes, static_cast<std::size_t>(c.kv_tokens) * 1024) << c.name;
      EXPECT_EQ(plan->max_model_len, c.length.value_or(4096)) << c.name;
    } else {
      EXPECT_NE(plan.error().message.find(c.complaint), std::string::npos)
          << c.name << ": " << plan.error().message;
    }
  }
}

}  // namespace
}  // namespace bitcpm
