#include "engine/token_counts.h"

#include <algorithm>

namespace bitcpm {

void TokenCounts::catch_up(std::span<const TokenId> tokens, std::size_t prompt_tokens,
                           std::size_t longest) {
  if (tokens.size() < counted_) *this = {};
  if (counted_ == 0) {  // the prompt at once: adding its tokens one by one would be quadratic
    const auto prompt = tokens.first(std::min(prompt_tokens, tokens.size()));
    std::vector<TokenId> sorted(prompt.begin(), prompt.end());
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    entries_.reserve(sorted.size() + longest - prompt.size());
    for (const TokenId token : sorted) entries_.push_back({token, 0, true});
    counted_ = prompt.size();
  }
  for (; counted_ < tokens.size(); ++counted_) {
    add(tokens[counted_], counted_ < prompt_tokens);
  }
}

void TokenCounts::add(TokenId token, bool in_prompt) {
  const auto at =
      std::lower_bound(entries_.begin(), entries_.end(), token,
                       [](const Entry& entry, TokenId wanted) { return entry.token < wanted; });
  const bool known = at != entries_.end() && at->token == token;
  Entry& entry = known ? *at : *entries_.insert(at, {token, 0, false});
  entry.in_prompt |= in_prompt;
  entry.outputs += in_prompt ? 0 : 1;
}

}  // namespace bitcpm
