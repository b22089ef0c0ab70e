#include <gtest/gtest.h>

#include <cstring>

#include "golden_data.h"
#include "golden_model.h"
#include "kernels/dispatch.h"

namespace bitcpm::golden {
namespace {

void expect_equal_levels(Numerics numerics) {
  constexpr std::size_t kPrompts[] = {1, 3, 12, 25};
  const std::vector<Prompt> prompts = load_prompts();
  std::vector<std::vector<float>> want;
  for (const std::string& isa : kernels::runnable_levels(kernels::detect_cpu_features())) {
    const GoldenModel golden(isa, 2, numerics);
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

// Protects: so do fast numerics.
TEST(Levels, FastAgreesBitForBit) { expect_equal_levels(Numerics::kFast); }

}  // namespace
}  // namespace bitcpm::golden
