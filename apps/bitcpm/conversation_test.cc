#include "conversation.h"

#include <gtest/gtest.h>

#include "embedded_model.h"

namespace bitcpm {
namespace {

struct Text {
  Tokenizer tokenizer;
  ChatTemplate chat_template;

  static Text load() {
    ModelFiles files = open_embedded_model();
    const std::string_view config = *files.open_text("tokenizer_config.json");
    return {*Tokenizer::load(*files.open_text("tokenizer.json"), config),
            *ChatTemplate::load(config, {})};
  }

  std::string decode(const std::vector<TokenId>& ids) const {
    return *tokenizer.decode(ids, false);
  }
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Protects what the model is told: system message first, then the whole exchange, then the prompt
// for an answer.
TEST(Conversation, PromptHoldsTheWholeExchange) {
  const Text text = Text::load();
  Conversation conversation(text.tokenizer, text.chat_template, "Be brief.");
  ASSERT_TRUE(conversation.ask("Who are you?", 512, 64).ok());
  conversation.answered("A small model.");
  const auto turn = conversation.ask("And now?", 512, 64);
  ASSERT_TRUE(turn.ok()) << turn.error().message;
  EXPECT_EQ(turn->dropped_turns, 0);
  EXPECT_EQ(turn->max_tokens, 64);
  const std::string prompt = text.decode(turn->prompt);
  const char* const kParts[] = {"Be brief.", "Who are you?", "A small model.", "And now?"};
  std::size_t at = 0;
  for (const char* part : kParts) {
    at = prompt.find(part, at);
    ASSERT_NE(at, std::string::npos) << part << " is missing or misplaced in " << prompt;
  }
}

// Protects long chats: the oldest turns go, never the system message or the question.
TEST(Conversation, OldestTurnsAreDroppedWhenFull) {
  const Text text = Text::load();
  Conversation conversation(text.tokenizer, text.chat_template, "Be brief.");
  int dropped = 0;
  for (int i = 0; i < 20; ++i) {
    const auto turn = conversation.ask("Question number " + std::to_string(i) + "?", 128, 1000);
    ASSERT_TRUE(turn.ok()) << turn.error().message;
    EXPECT_LE(turn->prompt.size() + static_cast<std::size_t>(turn->max_tokens), 128u);
    EXPECT_GE(turn->max_tokens, 32) << "a quarter of the context is kept for the answer";
    dropped += turn->dropped_turns;
    const std::string prompt = text.decode(turn->prompt);
    EXPECT_TRUE(contains(prompt, "Be brief.")) << prompt;
    EXPECT_TRUE(contains(prompt, "number " + std::to_string(i) + "?")) << prompt;
    conversation.answered("An answer.");
  }
  EXPECT_GT(dropped, 10);
}

// Protects the history from a question that cannot be asked: it is refused with both lengths, and
// what was said before stays.
TEST(Conversation, TooLongAQuestionIsForgotten) {
  const Text text = Text::load();
  Conversation conversation(text.tokenizer, text.chat_template, "");
  ASSERT_TRUE(conversation.ask("Remember me.", 128, 16).ok());
  conversation.answered("Yes.");
  std::string flood;
  for (int i = 0; i < 200; ++i) flood += "word ";
  const auto refused = conversation.ask(flood, 128, 16);
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(contains(refused.error().message, "the context has 128"));
  const auto turn = conversation.ask("Still?", 128, 16);
  ASSERT_TRUE(turn.ok());
  EXPECT_TRUE(contains(text.decode(turn->prompt), "Remember me."));
  EXPECT_FALSE(contains(text.decode(turn->prompt), "word word"));
}

// Protects the rest of a piped chat from one bad line: the byte is the message's own, whatever came
// before, and the next question is answered as if nothing had been said.
TEST(Conversation, AQuestionThatIsNotUtf8IsForgotten) {
  const Text text = Text::load();
  Conversation conversation(text.tokenizer, text.chat_template, "Be brief.");
  ASSERT_TRUE(conversation.ask("Remember me.", 512, 16).ok());
  conversation.answered("Yes.");
  const auto refused = conversation.ask("caf\xe9?", 512, 16);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "the message is not UTF-8 at byte 3");
  const auto turn = conversation.ask("Still?", 512, 16);
  ASSERT_TRUE(turn.ok()) << turn.error().message;
  EXPECT_TRUE(contains(text.decode(turn->prompt), "Remember me."));
  EXPECT_FALSE(contains(text.decode(turn->prompt), "caf"));
}

}  // namespace
}  // namespace bitcpm
