#include "console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>

#include "server/openai_json.h"

namespace bitcpm {
namespace {

bool is_scalar(const json::value& value) { return !value.is_object() && !value.is_array(); }

void append_json(const json::value& value, std::size_t indent, std::string& out);

void append_line_break(std::size_t indent, std::string& out) {
  out += '\n';
  out.append(indent, ' ');
}

void append_double(double number, std::string& out) {
  if (!std::isfinite(number)) {  // JSON has no word for it
    out += "null";
    return;
  }
  out += fmt::format("{}", number);  // the shortest spelling that reads back the same
}

void append_array(const json::array& array, std::size_t indent, std::string& out) {
  const bool one_line = std::all_of(array.begin(), array.end(), is_scalar);
  out += '[';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out += one_line ? ", " : ",";
    if (!one_line) append_line_break(indent + 2, out);
    append_json(array[i], indent + 2, out);
  }
  if (!one_line) append_line_break(indent, out);
  out += ']';
}

void append_object(const json::object& object, std::size_t indent, std::string& out) {
  if (object.empty()) {
    out += "{}";
    return;
  }
  out += '{';
  bool first = true;
  for (const auto& [key, value] : object) {
    if (!first) out += ',';
    first = false;
    append_line_break(indent + 2, out);
    out += json::serialize(key);
    out += ": ";
    append_json(value, indent + 2, out);
  }
  append_line_break(indent, out);
  out += '}';
}

void append_json(const json::value& value, std::size_t indent, std::string& out) {
  if (const auto* array = value.if_array()) return append_array(*array, indent, out);
  if (const auto* object = value.if_object()) return append_object(*object, indent, out);
  if (const auto* number = value.if_double()) return append_double(*number, out);
  out += json::serialize(value);
}

// The character at `at`: its bytes and its columns. Ranges of East Asian wide characters, roughly.
struct Glyph {
  std::size_t bytes;
  std::size_t columns;
};

Glyph glyph_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  std::size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  bytes = std::min(bytes, text.size() - at);
  std::uint32_t code = bytes == 1 ? lead : lead & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    code = (code << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3fu);
  }
  const bool wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) ||
                    (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
                    (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
                    code >= 0x1f300;
  return {bytes, wide ? std::size_t{2} : std::size_t{1}};
}

}  // namespace

bool print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void print_note(std::string_view line) {
  std::fprintf(stderr, "bitcpm: %s\n", visible(line).c_str());
}

std::string human_bytes(std::size_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string pretty_json(const json::value& value) {
  std::string out;
  append_json(value, 0, out);
  return out;
}

std::string visible(std::string_view utf8) {
  std::string out;
  for (const char c : utf8) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

Status check_utf8(std::string_view text, std::string_view what) {
  const std::string clean = valid_utf8(text);
  if (clean == text) return {};
  // They part within the U+FFFD that stands for the first bad byte; the text may share its start.
  const auto parting = std::mismatch(text.begin(), text.end(), clean.begin(), clean.end()).second;
  auto at = static_cast<std::size_t>(parting - clean.begin());
  while ((static_cast<unsigned char>(clean[at]) & 0xC0u) == 0x80u) --at;
  return Error{Errc::kInvalid, fmt::format("{} is not UTF-8 at byte {}", what, at)};
}

std::string padded(std::string_view utf8, std::size_t width) {
  std::size_t columns = 0;
  std::size_t at = 0;
  while (at < utf8.size()) {
    const Glyph glyph = glyph_at(utf8, at);
    if (columns + glyph.columns > width) break;
    columns += glyph.columns;
    at += glyph.bytes;
  }
  return std::string(utf8.substr(0, at)) + std::string(width - columns, ' ');
}

}  // namespace bitcpm
