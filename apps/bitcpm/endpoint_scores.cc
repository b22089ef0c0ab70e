#include "endpoint_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "endpoint.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr auto kPatience = std::chrono::seconds(600);

Result<json::value> ask(const Endpoint& endpoint, std::string body) {
  BITCPM_ASSIGN(const HttpReply reply, http_call(endpoint.base,
                                                 {.method = "POST",
                                                  .target = "/v1/completions",
                                                  .body = std::move(body),
                                                  .api_key = endpoint.api_key},
                                                 kPatience));
  return reply_json(endpoint.base, reply);
}

Result<json::value> prompt_of(const Endpoint& endpoint, std::span<const TokenId> ids,
                              const Tokenizer& tokenizer) {
  if (!endpoint.send_text) return json::value(json::array(ids.begin(), ids.end()));
  BITCPM_ASSIGN(const std::string text, tokenizer.decode(ids, true));
  return json::value(text);
}

void show_share(Progress& progress, std::size_t done, std::size_t of) {
  progress.update_share(static_cast<double>(done) / static_cast<double>(of),
                        fmt::format("text {} of {}", done, of));
}

// A vocabulary entry with SentencePiece's spaces made real ones.
std::string text_of_piece(std::string piece) {
  constexpr std::string_view kSpace = "\u2581";
  for (std::size_t at = 0; (at = piece.find(kSpace, at)) != std::string::npos; ++at) {
    piece.replace(at, kSpace.size(), " ");
  }
  return piece;
}

// The ids that a completion generated; nothing if the server does not say.
std::optional<std::vector<TokenId>> generated_ids(const json::value& reply,
                                                  std::int32_t vocab_size) {
  boost::system::error_code missing;
  const json::value* list = reply.find_pointer("/choices/0/token_ids", missing);
  if (list == nullptr || !list->is_array()) return std::nullopt;
  std::vector<TokenId> ids;
  for (const json::value& value : list->as_array()) {
    if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() >= vocab_size) {
      return std::nullopt;
    }
    ids.push_back(static_cast<TokenId>(value.get_int64()));
  }
  return ids;
}

// How many of `ids`, which follow `prompt`, have their text in front of `text`. A text that ends
// before they do is no difference.
Result<std::size_t> tokens_in_common(std::span<const TokenId> prompt, std::span<const TokenId> ids,
                                     std::string_view text, const Tokenizer& tokenizer) {
  constexpr std::string_view kUnfinished = "\uFFFD";
  BITCPM_ASSIGN(const std::string before, tokenizer.decode(prompt, true));
  std::vector<TokenId> so_far(prompt.begin(), prompt.end());
  for (std::size_t count = 0; count < ids.size(); ++count) {
    so_far.push_back(ids[count]);
    BITCPM_ASSIGN(const std::string whole, tokenizer.decode(so_far, true));
    std::string_view own = std::string_view(whole).substr(std::min(before.size(), whole.size()));
    while (own.ends_with(kUnfinished)) own.remove_suffix(kUnfinished.size());
    const std::size_t shared = std::min(own.size(), text.size());
    if (own.substr(0, shared) != text.substr(0, shared)) return count;
  }
  return ids.size();
}

}  // namespace

TokenId TokenSpellings::find(std::string_view spelling) {
  const TokenId by_id = token_of_id_spelling(spelling, tokenizer_.vocab_size());
  if (by_id != TokenLogprob::kUnknown) return by_id;
  if (by_text_.empty()) {
    for (TokenId id = 0; id < tokenizer_.vocab_size(); ++id) {
      const auto [entry, is_new] = by_text_.try_emplace(text_of_piece(tokenizer_.piece(id)), id);
      if (!is_new) entry->second = TokenLogprob::kUnknown;
    }
  }
  const auto found = by_text_.find(std::string(spelling));
  return found == by_text_.end() ? TokenLogprob::kUnknown : found->second;
}

Result<std::vector<EchoScores>> ask_scores(const Endpoint& endpoint,
                                           std::span<const EvalWindow> windows,
                                           const Tokenizer& tokenizer) {
  std::vector<EchoScores> all;
  TokenSpellings spellings(tokenizer);
  Progress progress("asking");  // wiped before anything is printed
  for (const EvalWindow& window : windows) {
    BITCPM_ASSIGN(json::value prompt, prompt_of(endpoint, window.ids, tokenizer));
    BITCPM_ASSIGN(
        const json::value reply,
        ask(endpoint, echo_request(endpoint.model, std::move(prompt), endpoint.top_logprobs)));
    auto scores = parse_echo(reply, endpoint.send_text ? 0 : window.ids.size(),
                             [&](std::string_view spelling) { return spellings.find(spelling); });
    if (!scores.ok()) return std::move(scores).error().within(endpoint.base.text());
    const auto unscored =
        static_cast<std::ptrdiff_t>(std::min(window.first_row(), scores->logprobs.size()));
    scores->logprobs.erase(scores->logprobs.begin(), scores->logprobs.begin() + unscored);
    scores->tops.erase(scores->tops.begin(), scores->tops.begin() + unscored);
    all.push_back(std::move(*scores));
    show_share(progress, all.size(), windows.size());
  }
  return all;
}

Result<GreedyComparison> ask_greedy(const Endpoint& endpoint, std::span<const EvalWindow> windows,
                                    std::span<const GreedyText> want, const Tokenizer& tokenizer) {
  GreedyComparison comparison;
  Progress progress("generating there");
  for (std::size_t i = 0; i < std::min(windows.size(), want.size()); ++i) {
    const auto prompt_ids =
        std::span(windows[i].ids).first(static_cast<std::size_t>(want[i].prompt_tokens));
    BITCPM_ASSIGN(json::value prompt, prompt_of(endpoint, prompt_ids, tokenizer));
    BITCPM_ASSIGN(const json::value reply,
                  ask(endpoint, json::serialize(json::object{{"model", endpoint.model},
                                                             {"prompt", std::move(prompt)},
                                                             {"max_tokens", want[i].ids.size()},
                                                             {"temperature", 0},
                                                             {"ignore_eos", true},
                                                             {"return_token_ids", true}})));
    const auto& ids = want[i].ids;
    std::size_t common = 0;
    if (const auto got = generated_ids(reply, tokenizer.vocab_size())) {
      const auto parted = std::mismatch(ids.begin(), ids.end(), got->begin(), got->end());
      const bool is_end = parted.first == ids.end() || parted.second == got->end();
      common = is_end ? ids.size() : static_cast<std::size_t>(parted.first - ids.begin());
    } else {
      boost::system::error_code missing;
      const json::value* text = reply.find_pointer("/choices/0/text", missing);
      if (text == nullptr || !text->is_string()) {
        return Error{Errc::kCorrupt, endpoint.base.text() + ": a completion without a text"};
      }
      BITCPM_ASSIGN(common, tokens_in_common(prompt_ids, ids, text->as_string(), tokenizer));
    }
    ++comparison.texts;
    if (common == ids.size()) {
      ++comparison.equal;
    } else {
      comparison.divergences.push_back(static_cast<std::int32_t>(common));
    }
    show_share(progress, i + 1, want.size());
  }
  return comparison;
}

}  // namespace bitcpm
