#include "memory_plan.h"

#include <gtest/gtest.h>

namespace bitcpm {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// 1 KiB per token.
constexpr KvShape kShape{1, 1, 128, KvCacheDtype::kFloat32};

// Protects the KV budget: its default, its caps, and what is refused with which advice.
TEST(PlanMemory, Table) {
  struct Case {
    const char* name;
    std::int32_t length;
    std::optional<std::int64_t> kv_bytes;
    std::optional<double> utilization;
    std::int32_t seqs;
    std::size_t usable;
    std::int64_t kv_tokens;  // 0: refused
    const char* complaint;
  };
  // Blocks of 32 tokens; 3 MiB of weights, 2 MiB of scratch, 1 MiB of the rest.
  constexpr Case kCases[] = {
      {"capped by what the requests can fill", 4096, {}, {}, 2, 1024 * kMiB, 2 * 4096, ""},
      {"a quarter of the usable memory", 4096, {}, {}, 64, 64 * kMiB, 16 * 1024, ""},
      {"4 GiB at most", 4096, {}, {}, 4096, 1024 * 1024 * kMiB, 4 * 1024 * 1024, ""},
      {"a length of no whole blocks is rounded up", 33, {}, {}, 1, 1024 * kMiB, 64, ""},
      {"bytes as asked for, whole blocks", 64, 100 * 1024, {}, 64, 3 * kMiB, 96, ""},
      {"no room, with advice", 4096, {}, {}, 1, 4 * kMiB, 0, "--max-model-len 1024 would fit"},
      {"as many bytes as there are beside the scratch", 64, kMiB, {}, 64, 3 * kMiB, 1024, ""},
      {"more bytes than there are",
       64,
       3 * kMiB,
       {},
       1,
       3 * kMiB,
       0,
       "--kv-cache-memory-bytes 3145728 (3.1 MB) is more than the 1.0 MB left of the 7.3 MB that "
       "this process may use: weights 3.1 MB, scratch 2.1 MB and the rest 1.0 MB"},
      {"no room for one block", 4096, 1000, {}, 1, 1024 * kMiB, 0, "may take 1.0 kB"},
      {"a share of the whole, less the rest", 64, {}, 0.5, 1, 60 * kMiB, (32 - 6) * 1024, ""},
      {"a share is not capped by the requests", 64, {}, 1.0, 1, 60 * kMiB, 58 * 1024, ""},
      {"a share below the weights",
       64,
       {},
       0.05,
       1,
       60 * kMiB,
       0,
       "--gpu-memory-utilization 0.05 of the 67.1 MB that this process may use is 3.4 MB, which "
       "leaves nothing for a KV cache"},
      {"bytes win over a share", 64, kMiB, 0.05, 1, 60 * kMiB, 1024, ""},
  };
  for (const Case& c : kCases) {
    MemoryRequest request;
    request.max_model_len = c.length;
    request.kv_cache_bytes = c.kv_bytes;
    request.utilization = c.utilization;
    request.max_num_seqs = c.seqs;
    request.kv_shape = kShape;
    request.weights_bytes = 3 * kMiB;
    request.scratch_bytes = 2 * kMiB;
    request.other_bytes = kMiB;
    request.usable_bytes = c.usable;
    const auto plan = plan_memory(request);
    ASSERT_EQ(plan.ok(), c.kv_tokens > 0) << c.name << (plan.ok() ? "" : plan.error().message);
    if (plan.ok()) {
      EXPECT_EQ(plan->kv_tokens, c.kv_tokens) << c.name;
      EXPECT_EQ(plan->kv_cache_bytes, static_cast<std::size_t>(c.kv_tokens) * 1024) << c.name;
      EXPECT_EQ(plan->total_bytes(), plan->kv_cache_bytes + 6 * kMiB);
      EXPECT_EQ(plan->allowed_bytes, c.usable + 4 * kMiB);
    } else {
      EXPECT_NE(plan.error().message.find(c.complaint), std::string::npos)
          << c.name << ": " << plan.error().message;
    }
  }
}

// Protects: a longer context than the model's needs the opt-in, and then has the attention factor
// of a model of that length; the figures are Hugging Face's for 131,072 (docs/numerics.md).
TEST(ChooseMaxModelLen, BeyondTheModel) {
  struct Case {
    std::optional<std::int64_t> wanted;
    bool allow_long;
    std::int32_t length;  // 0: refused
    float attention_factor;
  };
  constexpr Case kCases[] = {{{}, false, 32768, 1},         {2048, false, 2048, 1},
                             {32769, false, 0, 1},          {131072, true, 131072, 1.0645812f},
                             {32768, true, 32768, 1},       {65536, true, 65536, 1.0327956f},
                             {(1 << 26) + 1, true, 0, 1.0f}};
  for (const Case& c : kCases) {
    ModelConfig config;
    config.max_position_embeddings = 32768;
    config.rope.original_max_position = 32768;
    config.rope.factor_follows_length = true;
    const auto length = choose_max_model_len(config, c.wanted, c.allow_long);
    ASSERT_EQ(length.ok(), c.length > 0);
    if (!length.ok()) {
      EXPECT_NE(length.error().message.find("--max-model-len"), std::string::npos);
      continue;
    }
    EXPECT_EQ(*length, c.length);
    EXPECT_EQ(config.max_position_embeddings, std::max(c.length, 32768));
    EXPECT_NEAR(config.rope.attention_factor, c.attention_factor, 1e-6);
  }
}

}  // namespace
}  // namespace bitcpm
