#include "engine/token_counts.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace bitcpm {
namespace {

// Protects: counts that grew step by step, in whatever strides, are those of a fresh count; so are
// those of a sequence that was cut back and went on differently.
TEST(TokenCounts, GrowWithTheSequence) {
  std::mt19937 rng(5);
  for (const std::size_t prompt_tokens : {1u, 2u, 40u, 400u}) {
    std::vector<TokenId> tokens(prompt_tokens);
    for (TokenId& token : tokens) token = static_cast<TokenId>(rng() % 50);
    TokenCounts counts;
    for (int step = 0; step < 60; ++step) {
      if (step % 20 == 19) {
        tokens.resize(std::max(prompt_tokens, tokens.size() - 3));
        counts.catch_up(tokens, prompt_tokens, prompt_tokens + 200);
      }
      for (unsigned n = rng() % 3; n > 0; --n) tokens.push_back(static_cast<TokenId>(rng() % 50));
      counts.catch_up(tokens, prompt_tokens, prompt_tokens + 200);
      std::map<TokenId, std::pair<std::int32_t, bool>> want;
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        auto& [outputs, in_prompt] = want[tokens[i]];
        in_prompt |= i < prompt_tokens;
        outputs += i < prompt_tokens ? 0 : 1;
      }
      ASSERT_EQ(counts.entries().size(), want.size());
      auto expected = want.begin();
      for (const TokenCounts::Entry& entry : counts.entries()) {
        EXPECT_EQ(entry.token, expected->first);
        EXPECT_EQ(entry.outputs, expected->second.first);
        EXPECT_EQ(entry.in_prompt, expected->second.second);
        ++expected;
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm
