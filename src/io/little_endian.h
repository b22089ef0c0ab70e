#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include "base/check.h"

namespace bitcpm {

// The little-endian T at `offset`, of any alignment. The caller has checked that it is there.
template <std::unsigned_integral T>
T load_le(std::span<const std::byte> bytes, std::size_t offset) {
  BITCPM_CHECK(offset <= bytes.size() && bytes.size() - offset >= sizeof(T));
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<T>(bytes[offset + i]) << (8 * i));
  }
  return value;
}

}  // namespace bitcpm
