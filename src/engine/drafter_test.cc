#include "engine/drafter.h"

#include <gtest/gtest.h>

#include <random>

namespace bitcpm {
namespace {

using Tokens = std::vector<TokenId>;

Tokens found(PromptLookup& lookup, const Tokens& tokens, std::int32_t count) {
  const auto span = lookup.find(tokens, count);
  return {span.begin(), span.end()};
}

// Protects: what is proposed: the continuation of the longest earlier match, the latest of equals.
TEST(PromptLookup, ProposesWhatFollowedBefore) {
  struct Case {
    const char* name;
    Tokens tokens;
    std::int32_t count;
    Tokens proposal;
  };
  const Case kCases[] = {
      {"nothing repeats", {1, 2, 3, 4, 5}, 4, {}},
      {"one token is too little", {1, 2, 3, 1}, 4, {}},
      {"a pair", {1, 2, 3, 4, 1, 2}, 4, {3, 4, 1, 2}},
      {"no more than asked for", {1, 2, 3, 4, 1, 2}, 1, {3}},
      {"the latest of equal matches", {1, 2, 3, 1, 2, 4, 1, 2}, 1, {4}},
      {"the longer match is further back", {9, 1, 2, 3, 8, 1, 2, 4, 9, 1, 2}, 1, {3}},
      {"no longer than max_match", {5, 4, 9, 1, 2, 3, 6, 4, 9, 1, 2, 7, 5, 4, 9, 1, 2}, 1, {7}},
      {"a loop goes round", {7, 7, 7}, 4, {7, 7, 7, 7}},
      {"so does a longer one", {8, 5, 6, 5, 6}, 5, {5, 6, 5, 6, 5}},
      {"shorter than a match", {1}, 4, {}},
      {"empty", {}, 4, {}},
  };
  for (const Case& c : kCases) {
    PromptLookup lookup(2, 3, 32);
    EXPECT_EQ(found(lookup, c.tokens, c.count), c.proposal) << c.name;
  }
}

// Protects: an index that grew token by token finds what one made at once finds.
TEST(PromptLookup, GrowsWithTheSequence) {
  std::mt19937 rng(7);
  Tokens tokens;
  PromptLookup grown(3, 6, 600);
  while (tokens.size() < 500) {
    tokens.push_back(static_cast<TokenId>(rng() % 3));
    PromptLookup fresh(3, 6, 600);
    ASSERT_EQ(found(grown, tokens, 4), found(fresh, tokens, 4)) << tokens.size();
  }
}

// Protects: proposals get shorter as they fail and stop, but for a probe now and then; when they
// hold again, so do they grow.
TEST(DraftGate, ClosesAndOpensByAcceptance) {
  DraftGate gate;
  EXPECT_GE(gate.length(4, 0.2), 2);
  EXPECT_EQ(gate.length(4, 0.5), 1);
  for (int i = 0; i < 20; ++i) gate.observe(1, 0);
  int probes = 0;
  for (int i = 0; i < 320; ++i) probes += gate.length(4, 0.2) > 0 ? 1 : 0;
  EXPECT_EQ(probes, 10);
  for (int i = 0; i < 40; ++i) gate.observe(4, 4);
  EXPECT_EQ(gate.length(4, 0.2), 4);
  EXPECT_GT(gate.acceptance(), 0.99);
  EXPECT_EQ(gate.length(0, 0.2), 0);
}

}  // namespace
}  // namespace bitcpm
