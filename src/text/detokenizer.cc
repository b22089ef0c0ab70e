#include "text/detokenizer.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer_impl.h"

namespace bitcpm {
namespace {

// A decoder looks back for two things: the bytes of one character (at most 3 earlier tokens), and
// whether the text has begun, which decides about leading spaces. So a few tokens that give any
// text are context enough.
constexpr std::size_t kContextTokens = 4;

// Forgetting costs a second decode of the context: worth it once per several tokens.
constexpr std::size_t kWindowTokens = 8;

bool is_continuation_byte(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, std::span<const TokenId> prompt,
                         bool skip_special_tokens)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {
  for (std::size_t count = kContextTokens;; count *= 2) {
    const auto context = prompt.last(std::min(count, prompt.size()));
    window_.clear();
    std::copy_if(context.begin(), context.end(), std::back_inserter(window_),
                 [this](TokenId token) { return has_text(token); });
    const DecodedText decoded = decode(window_);
    settled_bytes_ = decoded.text.size() - decoded.unsettled_bytes;
    if (settled_bytes_ > 0 || context.size() == prompt.size()) break;
  }
}

std::string Detokenizer::push(TokenId token) {
  if (!has_text(token)) return {};
  window_.push_back(token);
  const DecodedText decoded = decode(window_);
  std::string piece = emit_up_to(decoded.text, decoded.text.size() - decoded.unsettled_bytes);
  if (window_.size() > kWindowTokens) forget_old_context();
  return piece;
}

std::string Detokenizer::finish() {
  const DecodedText decoded = decode(window_);
  return emit_up_to(decoded.text, decoded.text.size());
}

bool Detokenizer::has_text(TokenId token) const {
  if (token < 0 || token >= tokenizer_->vocab_size()) return false;
  return !skip_special_tokens_ || !tokenizer_->is_special(token);
}

// A decoder that fails (only one of a broken tokenizer.json can) counts as giving no text.
DecodedText Detokenizer::decode(std::span<const TokenId> ids) const {
  auto decoded = tokenizer_->impl_->decode(ids, skip_special_tokens_);
  return decoded ? std::move(decoded).value() : DecodedText{};
}

std::string Detokenizer::emit_up_to(const std::string& text, std::size_t end) {
  std::size_t begin = settled_bytes_;
  if (begin >= end) return {};
  // Only a decoder that rewrites earlier text (WordPiece's clean-up) can put this inside a
  // character.
  while (begin < end && is_continuation_byte(text[begin])) ++begin;
  settled_bytes_ = end;
  return text.substr(begin, end - begin);
}

void Detokenizer::forget_old_context() {
  window_.erase(window_.begin(), window_.end() - kContextTokens);
  const DecodedText decoded = decode(window_);
  settled_bytes_ = decoded.text.size() - decoded.unsettled_bytes;
}

}  // namespace bitcpm
