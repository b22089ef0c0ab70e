#pragma once

#include <cstdint>

namespace bitcpm {

// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) used as a counter-based generator: draw i of a
// stream is mix64(key + i * kMixStep), whichever were drawn before.
constexpr std::uint64_t kMixStep = 0x9e3779b97f4a7c15u;

constexpr std::uint64_t mix64(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// From 64 random bits, a multiple of 2^-53 in [0, 1).
constexpr double unit_interval(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace bitcpm
