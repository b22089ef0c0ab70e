#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitcpm {

// XXH3 of 64 bits with seed 0 (xxHash 0.8), at memory speed. It finds accidents; against intent it
// proves nothing. Any thread.
std::uint64_t checksum(std::span<const std::byte> bytes);

// Sixteen lower-case hexadecimal digits, and back; nothing else is read.
std::string checksum_text(std::uint64_t sum);
std::optional<std::uint64_t> parse_checksum(std::string_view text);

}  // namespace bitcpm
