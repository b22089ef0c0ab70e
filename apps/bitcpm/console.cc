#include "console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace bitcpm {
namespace {

bool is_scalar(const json::value& value) { return !value.is_object() && !value.is_array(); }

void append_json(const json::value& value, std::size_t indent, std::string& out);

void append_double(double number, std::string& out) {
  // fmt's shortest form; "1" would read back as an integer, which JSON does not mind.
  out += fmt::format("{}", number);
}

void append_array(const json::array& array, std::size_t indent, std::string& out) {
  const bool one_line = std::all_of(array.begin(), array.end(), is_scalar);
  const std::string line_break = "\n" + std::string(indent + 2, ' ');
  out += '[';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out += one_line ? ", " : ",";
    if (!one_line) out += line_break;
    append_json(array[i], indent + 2, out);
  }
  if (!one_line) out += "\n" + std::string(indent, ' ');
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
    out += first ? "\n" : ",\n";
    first = false;
    out += std::string(indent + 2, ' ') + json::serialize(key) + ": ";
    append_json(value, indent + 2, out);
  }
  out += "\n" + std::string(indent, ' ') + "}";
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
  std::fprintf(stderr, "bitcpm: %.*s\n", static_cast<int>(line.size()), line.data());
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
