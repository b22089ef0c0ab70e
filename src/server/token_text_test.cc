#include "server/token_text.h"

#include <gtest/gtest.h>

#include <set>

#include "server/test_support.h"

namespace bitcpm {
namespace {

// Protects: how tokens are spelled in logprobs: text as text, a line break as itself, half a
// character by its byte.
TEST(TokenText, Spells) {
  const TokenText text(test_tokenizer(), false);
  EXPECT_EQ(text.spell(13), "\n");                 // <0x0A>
  EXPECT_EQ(text.spell(3 + 0xe4), "bytes:\\xe4");  // <0xE4>
  EXPECT_EQ(text.spell(3 + 'A'), "bytes:\\x41");   // beside the ordinary "A"
  EXPECT_EQ(text.spell(continuation("the")[0]), " the");
  EXPECT_EQ(text.spell(2), "</s>");
  EXPECT_EQ(TokenText(test_tokenizer(), true).spell(13), "token_id:13");
}

// Protects: no two tokens share a spelling, since they are keys of one JSON object.
TEST(TokenText, SpellingsAreUnique) {
  const TokenText text(test_tokenizer(), false);
  std::set<std::string> seen;
  for (TokenId id = 0; id < test_tokenizer().vocab_size(); ++id) {
    EXPECT_TRUE(seen.insert(text.spell(id)).second) << id << " " << text.spell(id);
  }
}

}  // namespace
}  // namespace bitcpm
