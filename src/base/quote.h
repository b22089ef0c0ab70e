#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bitcpm {

// Text that a stranger wrote, fit for a one-line message on a terminal: every byte outside
// printable ASCII becomes \xNN, and what goes beyond about `max_bytes` becomes "...".
// Printable text of at most `max_bytes` comes back unchanged.
inline std::string escaped(std::string_view text, std::size_t max_bytes = 80) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    if (out.size() >= max_bytes) return out + "...";
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

// The same in single quotes, for names. (std::quoted would win by ADL against a shorter name.)
inline std::string quote_name(std::string_view text, std::size_t max_bytes = 80) {
  std::string out = escaped(text, max_bytes);
  out.insert(out.begin(), '\'');
  return out += '\'';
}

}  // namespace bitcpm
