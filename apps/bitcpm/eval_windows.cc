#include "eval_windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/mmap_file.h"
#include "console.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMostTexts = std::int64_t{1} << 40;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 20;

std::size_t value_of(OptionalCount count, std::size_t fallback) {
  return count ? static_cast<std::size_t>(*count) : fallback;
}

RecordRule rule_of(const TextOptions& options) {
  const RecordRule usual;
  return {.texts = value_of(options.texts, usual.texts),
          .min_characters = value_of(options.min_characters, usual.min_characters),
          .max_length = value_of(options.max_length, usual.max_length)};
}

// The sample's paragraphs are its texts.
EvalTexts sample_texts() {
  EvalTexts texts;
  texts.whole = eval_sample();
  for (std::string_view rest = eval_sample(); !rest.empty();) {
    const std::size_t end = std::min(rest.find("\n\n"), rest.size());
    texts.records.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  return texts;
}

Result<EvalTexts> read_texts(const TextOptions& options) {
  if (options.file.empty()) return sample_texts();
  BITCPM_ASSIGN(const MmapFile file, MmapFile::open(options.file));
  const std::span<const std::byte> bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  BITCPM_TRY(check_utf8(text, options.file));
  auto texts = parse_eval_texts(options.file, text);
  if (!texts.ok()) return std::move(texts).error().within(options.file);
  return texts;
}

// The position of the first difference; -1 if there is none.
std::ptrdiff_t parting(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const auto at = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return at.first == a.end() && at.second == b.end() ? -1 : at.first - a.begin();
}

Status check_same(const std::vector<EvalWindow>& a, const std::vector<EvalWindow>& b,
                  const char* what) {
  if (a.size() != b.size()) {
    return Error{Errc::kInvalid, fmt::format("{}: A has {} texts, B {}", what, a.size(), b.size())};
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::ptrdiff_t at = parting(a[i].ids, b[i].ids);
    if (at < 0 && a[i].first_scored == b[i].first_scored) continue;
    return Error{Errc::kInvalid, fmt::format("{}: text {} differs at token {}", what, i,
                                             std::max<std::ptrdiff_t>(at, 0))};
  }
  return {};
}

Status check_vocabulary(const EvalSide& a, const EvalSide& b) {
  const std::int32_t a_size = a.header().vocab_size;
  const std::int32_t b_size = b.header().vocab_size;
  if (a_size == b_size) return {};
  return Error{Errc::kInvalid,
               fmt::format("the vocabularies differ: A ({}) has {} ids, B ({}) {}",
                           visible(a.header().model), a_size, visible(b.header().model), b_size)};
}

}  // namespace

void add_text_options(CLI::App& app, TextOptions& options) {
  app.add_option("--text", options.file,
                 "JSONL with one {\"text\": ...} per line, or plain UTF-8 text, a text per line "
                 "(default: a built-in sample)")
      ->type_name("FILE");
  add_count(app, "--texts", options.texts, 0, kMostTexts,
            "Evaluate the first N texts; 0: all (default: 50)");
  add_count(app, "--min-characters", options.min_characters, 0, kMostTexts,
            "Leave out texts that are not longer than this (default: 50)");
  add_count(app, "--max-length", options.max_length, 2, kMostTokens,
            "Tokens of a text, or of a window of --stride (default: 512)");
  add_count(app, "--stride", options.stride, 1, kMostTokens,
            "Score the whole file instead, in windows that begin N tokens apart");
}

std::string text_usage_error(const TextOptions& options) {
  if (!options.stride) return {};
  if (options.texts || options.min_characters) {
    return "--stride scores the whole file; --texts and --min-characters choose from it";
  }
  const std::size_t length = rule_of(options).max_length;
  if (static_cast<std::size_t>(*options.stride) > length) {
    return fmt::format("--stride {} leaves gaps between windows of --max-length {}",
                       *options.stride, length);
  }
  return {};
}

std::string describe_text(const TextOptions& options) {
  const std::string name = options.file.empty() ? "built-in sample" : visible(options.file);
  const RecordRule rule = rule_of(options);
  if (options.stride) {
    return fmt::format("{}: all of it, windows of {} tokens, {} apart", name, rule.max_length,
                       *options.stride);
  }
  return fmt::format("{}: {} over {} characters, cut to {} tokens", name,
                     rule.texts == 0 ? "the texts" : fmt::format("the first {} texts", rule.texts),
                     rule.min_characters, rule.max_length);
}

json::object text_json(const TextOptions& options) {
  const RecordRule rule = rule_of(options);
  json::object object{{"name", options.file.empty() ? "built-in" : options.file},
                      {"method", options.stride ? "strided" : "texts"},
                      {"max_length", rule.max_length}};
  if (options.stride) {
    object["stride"] = *options.stride;
  } else {
    object["texts"] = rule.texts;
    object["min_characters"] = rule.min_characters;
  }
  return object;
}

Result<std::vector<EvalWindow>> choose_windows(const TextOptions& options,
                                               const Tokenizer& tokenizer,
                                               std::int32_t max_positions) {
  const RecordRule rule = rule_of(options);
  if (rule.max_length > static_cast<std::size_t>(max_positions)) {
    return Error{Errc::kInvalid, fmt::format("--max-length {} exceeds the model's {} positions",
                                             rule.max_length, max_positions)};
  }
  BITCPM_ASSIGN(const EvalTexts texts, read_texts(options));
  auto windows = options.stride ? strided_windows(tokenizer, texts, rule.max_length,
                                                  static_cast<std::size_t>(*options.stride))
                                : record_windows(tokenizer, texts, rule);
  if (!windows.ok() && !options.file.empty()) {
    return std::move(windows).error().within(options.file);
  }
  return windows;
}

Result<std::vector<EvalWindow>> shared_windows(const TextOptions& options, EvalSide& a,
                                               EvalSide& b) {
  BITCPM_TRY(check_vocabulary(a, b));
  if (a.is_run() && b.is_run()) {
    BITCPM_TRY(check_same(a.run().windows, b.run().windows, "the saved runs read other texts"));
  }
  for (EvalSide* side : {&a, &b}) {
    if (side->is_run()) return side->run().windows;
  }
  std::vector<std::vector<EvalWindow>> windows;
  for (EvalSide* side : {&a, &b}) {
    BITCPM_ASSIGN(const Tokenizer tokenizer, side->tokenizer());
    BITCPM_ASSIGN(
        windows.emplace_back(),
        choose_windows(options, tokenizer, side->model().config().max_position_embeddings));
  }
  BITCPM_TRY(check_same(windows[0], windows[1], "the tokenizers of A and B disagree"));
  return std::move(windows[0]);
}

std::size_t longest_window(std::span<const EvalWindow> windows) {
  std::size_t longest = 0;
  for (const EvalWindow& window : windows) longest = std::max(longest, window.ids.size());
  return longest;
}

}  // namespace bitcpm
