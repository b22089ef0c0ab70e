#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace bitcpm {

// What was said so far, and how it becomes a prompt. Tokenizer and template must outlive it.
class Conversation {
 public:
  // `system` may be empty: none.
  Conversation(const Tokenizer& tokenizer, const ChatTemplate& chat_template, std::string system)
      : tokenizer_(&tokenizer), template_(&chat_template), system_(std::move(system)) {}

  struct Turn {
    std::vector<TokenId> prompt;
    std::int32_t max_tokens = 0;  // of the answer
    int dropped_turns = 0;        // oldest questions, with their answers, that had to go
  };

  // Adds a question. Old turns are dropped until prompt and answer fit `context_tokens`; an answer
  // needs `wanted_tokens`, but no turn is dropped to make it longer than a quarter of the context.
  // Errors: kInvalid (the question is not UTF-8 or does not fit alone, or the template refuses);
  // the question is then forgotten.
  Result<Turn> ask(std::string question, std::int32_t context_tokens, std::int64_t wanted_tokens);

  // The answer to the last question; an unanswered one stays in the history as it is.
  void answered(std::string answer);

  void reset() { messages_.clear(); }  // the system message stays

 private:
  struct Message {
    bool from_user;
    std::string content;
  };

  Result<std::vector<TokenId>> encode() const;
  void drop_oldest_turn();
  Result<Turn> fit(std::int32_t context_tokens, std::int64_t wanted_tokens);

  const Tokenizer* tokenizer_;
  const ChatTemplate* template_;
  std::string system_;
  std::vector<Message> messages_;
};

}  // namespace bitcpm
