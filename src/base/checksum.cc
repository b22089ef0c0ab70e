#include "base/checksum.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <charconv>

namespace bitcpm {

std::uint64_t checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string checksum_text(std::uint64_t sum) { return fmt::format("{:016x}", sum); }

std::optional<std::uint64_t> parse_checksum(std::string_view text) {
  std::uint64_t sum = 0;
  const auto end = text.data() + text.size();
  if (text.size() != 16 || std::from_chars(text.data(), end, sum, 16).ptr != end ||
      checksum_text(sum) != text) {  // upper case, say
    return std::nullopt;
  }
  return sum;
}

}  // namespace bitcpm
