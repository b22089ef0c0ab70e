#pragma once

#include "kernels/shared/install.h"

// The tile sizes of this level, which amx has for a few tokens.
namespace {

// Sums, weights and inputs within 32 registers.
struct Tiles {
  using Dense = TileSize<1, 8, 4>;
  static constexpr size_t kQueries = 8, kValues = 8, kVectors = 2;
  static constexpr size_t kFieldsAtOnce = 4, kTokens = 3, kLone = 4;
  static constexpr size_t kLeastDecoded = 4;
};

}  // namespace
