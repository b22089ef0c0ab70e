#include "server/token_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/tokenizer.h"

namespace bitcpm {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";  // SentencePiece's sign for a space
constexpr std::string_view kReplacement = "\uFFFD";

// The byte of a byte-fallback entry "<0x0A>", or -1.
int fallback_byte(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return error == std::errc() && end == piece.data() + 5 ? byte : -1;
}

}  // namespace

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0u) != 0x80u;
  }));
}

std::string TokenText::bytes(TokenId id) const {
  const std::string piece = tokenizer_.piece(id);
  const int byte = fallback_byte(piece);
  if (byte >= 0) return std::string(1, static_cast<char>(byte));
  const TokenId ids[] = {id};
  Result<std::string> decoded = tokenizer_.decode(ids, false);
  if (!decoded.ok()) return {};
  // A lone token loses its leading space in decoding.
  if (piece.starts_with(kSpaceMark) && !decoded->starts_with(' ')) decoded->insert(0, 1, ' ');
  return std::move(*decoded);
}

std::string TokenText::spell(TokenId id) const {
  if (as_ids_) return fmt::format("token_id:{}", id);
  const std::string piece = tokenizer_.piece(id);
  const int byte = fallback_byte(piece);
  // A control character is spelled as itself, since no other entry is; any other lone byte is
  // either half a character or has a twin in the vocabulary.
  if (byte >= 0x20) return fmt::format("bytes:\\x{:02x}", byte);
  std::string text = bytes(id);
  // Half a character of a byte-level vocabulary: its entry is unique, its decoding is not.
  return text.empty() || text.find(kReplacement) != std::string::npos ? piece : text;
}

}  // namespace bitcpm
