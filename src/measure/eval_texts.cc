#include "measure/eval_texts.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"
#include "text/tokenizer.h"

namespace bitcpm {
namespace {

constexpr std::string_view kJsonLines = ".jsonl";

bool is_space(char32_t c) {
  constexpr std::array<std::pair<char32_t, char32_t>, 10> kSpaces = {{{0x09, 0x0d},
                                                                      {0x1c, 0x20},
                                                                      {0x85, 0x85},
                                                                      {0xa0, 0xa0},
                                                                      {0x1680, 0x1680},
                                                                      {0x2000, 0x200a},
                                                                      {0x2028, 0x2029},
                                                                      {0x202f, 0x202f},
                                                                      {0x205f, 0x205f},
                                                                      {0x3000, 0x3000}}};
  return std::any_of(kSpaces.begin(), kSpaces.end(),
                     [c](const auto& range) { return c >= range.first && c <= range.second; });
}

struct CodePoint {
  char32_t value;
  std::size_t bytes;
};

// Of well-formed UTF-8; anything else counts byte by byte.
CodePoint code_point_at(std::string_view utf8, std::size_t at) {
  const auto lead = static_cast<unsigned char>(utf8[at]);
  const std::size_t bytes = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (bytes == 1 || at + bytes > utf8.size()) return {lead, 1};
  char32_t value = lead & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    value = value << 6 | (static_cast<unsigned char>(utf8[at + i]) & 0x3fu);
  }
  return {value, bytes};
}

Result<std::string> text_of_line(std::string_view line) {
  BITCPM_ASSIGN(const json::value value, parse_json(line, {.max_bytes = std::size_t{16} << 20}));
  const json::value* text = value.is_object() ? value.as_object().if_contains("text") : nullptr;
  if (text == nullptr || !text->is_string()) {
    return Error{Errc::kCorrupt, "expected an object whose \"text\" is a string"};
  }
  return std::string(text->as_string());
}

// Calls `use` with every line, its line break included.
template <class Use>
Status each_line(std::string_view content, const Use& use) {
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size() - 1) + 1;
    BITCPM_TRY(use(content.substr(begin, end - begin)));
    begin = end;
  }
  return {};
}

Result<EvalTexts> parse_json_lines(std::string_view content) {
  EvalTexts texts;
  std::size_t number = 0;
  BITCPM_TRY(each_line(content, [&](std::string_view line) -> Status {
    ++number;
    if (stripped_characters(line) == 0) return {};
    auto text = text_of_line(line);
    if (!text.ok()) return std::move(text).error().within("line " + std::to_string(number));
    if (!texts.records.empty()) texts.whole += "\n\n";
    texts.whole += *text;
    texts.records.push_back(*std::move(text));
    return {};
  }));
  return texts;
}

}  // namespace

std::size_t count_rows(std::span<const EvalWindow> windows) {
  std::size_t rows = 0;
  for (const EvalWindow& window : windows) rows += window.rows();
  return rows;
}

std::size_t stripped_characters(std::string_view utf8) {
  std::size_t seen = 0;   // without leading space
  std::size_t until = 0;  // the same up to the last character that is none
  for (std::size_t at = 0; at < utf8.size();) {
    const CodePoint next = code_point_at(utf8, at);
    at += next.bytes;
    if (is_space(next.value)) {
      seen += seen > 0 ? 1 : 0;
    } else {
      until = ++seen;
    }
  }
  return until;
}

Result<EvalTexts> parse_eval_texts(std::string_view file_name, std::string_view content) {
  EvalTexts texts;
  if (file_name.ends_with(kJsonLines)) {
    BITCPM_ASSIGN(texts, parse_json_lines(content));
  } else {
    texts.whole = content;
    BITCPM_TRY(each_line(content, [&](std::string_view line) -> Status {
      texts.records.emplace_back(line);
      return {};
    }));
  }
  if (stripped_characters(texts.whole) == 0) return Error{Errc::kInvalid, "holds no text"};
  return texts;
}

Result<std::vector<EvalWindow>> record_windows(const Tokenizer& tokenizer, const EvalTexts& texts,
                                               const RecordRule& rule) {
  std::vector<EvalWindow> windows;
  for (const std::string& record : texts.records) {
    if (rule.texts > 0 && windows.size() == rule.texts) break;
    if (stripped_characters(record) <= rule.min_characters) continue;
    BITCPM_ASSIGN(std::vector<TokenId> ids, tokenizer.encode(record, true));
    ids.resize(std::min(ids.size(), rule.max_length));
    if (ids.size() >= 2) windows.push_back({std::move(ids), 1});
  }
  if (windows.empty()) {
    return Error{Errc::kInvalid, "none of " + std::to_string(texts.records.size()) +
                                     " texts is longer than " +
                                     std::to_string(rule.min_characters) + " characters"};
  }
  return windows;
}

Result<std::vector<EvalWindow>> strided_windows(const Tokenizer& tokenizer, const EvalTexts& texts,
                                                std::size_t max_length, std::size_t stride) {
  BITCPM_ASSIGN(const std::vector<TokenId> ids, tokenizer.encode(texts.whole, true));
  if (ids.size() < 2) return Error{Errc::kInvalid, "a text to score has at least two tokens"};
  std::vector<EvalWindow> windows;
  std::size_t scored = 1;  // ids before this one need no score or have one
  for (std::size_t begin = 0; scored < ids.size(); begin += stride) {
    const std::size_t end = std::min(begin + max_length, ids.size());
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = ids.begin() + static_cast<std::ptrdiff_t>(end);
    if (end - begin < 2) break;  // after a stride of max_length: a last token without context
    windows.push_back({{first, last}, std::max<std::size_t>(scored - begin, 1)});
    scored = end;
  }
  return windows;
}

}  // namespace bitcpm
