#include <gtest/gtest.h>

#include <cstring>

#include "golden_data.h"
#include "golden_model.h"
#include "kernels/dispatch.h"

namespace bitcpm::golden {
namespace {

void expect_equal_levels(Numerics numerics, std::optional<KvCacheDtype> kv = std::nullopt) {
  constexpr std::size_t kPrompts[] = {1, 3, 12, 25};
  const std::vector<Prompt> prompts = load_prompts();
  std::vector<std::vector<float>> want;
  for (const std::string& isa : kernels::runnable_levels(kernels::detect_cpu_features())) {
    GoldenModel golden(isa, 2, numerics);
    golden.use_kv(kv);
    std::vector<std::vector<float>> got;
    for (const std::size_t id : kPrompts) got.push_back(golden.logits(prompts[id].ids));
    if (want.empty()) want = got;
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(want[i].size(), got[i].size());
      EXPECT_EQ(std::memcmp(want[i].data(), got[i].data(), 4 * want[i].size()), 0)
          << isa << ", prompt " << kPrompts[i];
    }
  }
}

// Protects: exact numerics give the same bits on every CPU level, whatever its vectors.
TEST(Levels, ExactAgreesBitForBit) { expect_equal_levels(Numerics::kExact); }

// Protects: so do fast numerics, with their own KV cache and with an int8 one.
TEST(Levels, FastAgreesBitForBit) { expect_equal_levels(Numerics::kFast); }
TEST(Levels, Int8KvAgreesBitForBit) { expect_equal_levels(Numerics::kFast, KvCacheDtype::kInt8); }

}  // namespace
}  // namespace bitcpm::golden
