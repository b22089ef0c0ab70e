#include "conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "console.h"

namespace bitcpm {

Result<std::vector<TokenId>> Conversation::encode() const {
  json::array messages;
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  for (const Message& message : messages_) {
    messages.push_back(
        {{"role", message.from_user ? "user" : "assistant"}, {"content", message.content}});
  }
  const json::object context{{"messages", std::move(messages)}, {"add_generation_prompt", true}};
  BITCPM_ASSIGN(const std::string text, template_->render(json::serialize(context)));
  return tokenizer_->encode(text, true);
}

void Conversation::drop_oldest_turn() {
  const auto next = std::find_if(messages_.begin() + 1, messages_.end(),
                                 [](const Message& message) { return message.from_user; });
  messages_.erase(messages_.begin(), next);
}

Result<Conversation::Turn> Conversation::fit(std::int32_t context_tokens,
                                             std::int64_t wanted_tokens) {
  const std::int64_t reserve =
      std::max<std::int64_t>(1, std::min<std::int64_t>(wanted_tokens, context_tokens / 4));
  Turn turn;
  for (;;) {
    BITCPM_ASSIGN(turn.prompt, encode());
    const std::int64_t room = context_tokens - static_cast<std::int64_t>(turn.prompt.size());
    const bool is_last = messages_.size() == 1;
    if (room >= reserve || (is_last && room > 0)) {
      turn.max_tokens = static_cast<std::int32_t>(std::min(room, wanted_tokens));
      return turn;
    }
    if (is_last) {
      return Error{Errc::kInvalid, fmt::format("the message takes {} tokens, the context has {}",
                                               turn.prompt.size(), context_tokens)};
    }
    drop_oldest_turn();
    ++turn.dropped_turns;
  }
}

Result<Conversation::Turn> Conversation::ask(std::string question, std::int32_t context_tokens,
                                             std::int64_t wanted_tokens) {
  BITCPM_TRY(check_utf8(question, "the message"));
  std::vector<Message> before = messages_;
  messages_.push_back({true, std::move(question)});
  auto turn = fit(context_tokens, wanted_tokens);
  if (!turn.ok()) messages_ = std::move(before);
  return turn;
}

void Conversation::answered(std::string answer) { messages_.push_back({false, std::move(answer)}); }

}  // namespace bitcpm
