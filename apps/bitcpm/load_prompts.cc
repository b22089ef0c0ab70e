#include "load_prompts.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string_view>
#include <utility>

namespace bitcpm {
namespace {

constexpr std::string_view kWordStart = "\xe2\x96\x81";  // "▁", a space in SentencePiece
constexpr std::size_t kFewestWords = 16;

// Tokens that are words with their space: they stay tokens wherever they stand.
std::vector<TokenId> word_tokens(const Tokenizer& tokenizer) {
  std::vector<TokenId> words;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id)) continue;
    const std::string piece = tokenizer.piece(id);
    const bool starts = piece.starts_with(kWordStart) || piece.starts_with("\xc4\xa0");  // "Ġ"
    const std::size_t mark = piece.starts_with(kWordStart) ? kWordStart.size() : 2;
    if (starts && piece.size() > mark + 1 &&
        std::all_of(piece.begin() + static_cast<std::ptrdiff_t>(mark), piece.end(),
                    [](char c) { return c >= 'a' && c <= 'z'; })) {
      words.push_back(id);
    }
  }
  return words;
}

class Generator {
 public:
  Generator(const Tokenizer& tokenizer, unsigned seed)
      : tokenizer_(tokenizer), words_(word_tokens(tokenizer)), rng_(seed) {}

  bool has_words() const { return words_.size() >= kFewestWords; }

  Result<std::string> text(std::int64_t tokens) {
    std::vector<TokenId> ids(static_cast<std::size_t>(tokens));
    for (TokenId& id : ids) id = words_[rng_() % words_.size()];
    return tokenizer_.decode(ids, true);
  }

  std::int64_t length(std::int64_t middle, double ratio) {
    const auto spread = static_cast<std::int64_t>(ratio * static_cast<double>(middle));
    const auto width = static_cast<std::uint64_t>(2 * spread + 1);
    return std::max<std::int64_t>(1, middle - spread + static_cast<std::int64_t>(rng_() % width));
  }

  bool happens(double share) { return static_cast<double>(rng_() >> 11) * 0x1p-53 < share; }

 private:
  const Tokenizer& tokenizer_;
  std::vector<TokenId> words_;
  std::mt19937_64 rng_;
};

}  // namespace

Result<std::vector<LoadPrompt>> random_prompts(const Tokenizer& tokenizer,
                                               const RandomPrompts& options) {
  Generator generator(tokenizer, options.seed);
  if (!generator.has_words()) {
    return Error{Errc::kUnsupported, "the tokenizer has no words to make prompts of"};
  }
  BITCPM_ASSIGN(const std::string shared, generator.text(options.prefix_len));
  std::vector<LoadPrompt> prompts;
  for (std::int64_t i = 0; i < options.count; ++i) {
    LoadPrompt prompt;
    prompt.text = shared;
    if (!generator.happens(options.prefix_share)) {
      BITCPM_ASSIGN(prompt.text, generator.text(options.prefix_len));
    }
    const std::int64_t length = generator.length(options.input_len, options.range_ratio);
    BITCPM_ASSIGN(const std::string rest, generator.text(length));
    if (!prompt.text.empty() && !rest.starts_with(' ')) prompt.text += ' ';
    prompt.text += rest;
    BITCPM_ASSIGN(const std::vector<TokenId> ids, tokenizer.encode(prompt.text, true));
    prompt.tokens = ids.size();
    prompt.output_tokens =
        static_cast<std::size_t>(generator.length(options.output_len, options.range_ratio));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

}  // namespace bitcpm
