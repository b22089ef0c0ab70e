#pragma once

#include "kernels/shared/install.h"

// The products of bytes of this level, of which amx keeps those of a few tokens.
namespace {

// Sums, weights and inputs within 32 registers.
struct Tiles {
  using Dense = TileSize<1, 8, 4>;
  static constexpr size_t kQueries = 8, kValues = 8, kVectors = 2;
  static constexpr size_t kFieldsAtOnce = 4, kTokens = 3, kLone = 4;
  static constexpr size_t kLeastDecoded = 9;
};

inline void few_ternary(const TernaryFields& w, size_t first, size_t last, const QuantizedIo& io) {
  ternary_fields<Tiles::kFieldsAtOnce, Tiles::kTokens, Tiles::kLone>(w, first, last, io);
}
inline void few_int8(const Int8Fields& w, size_t first, size_t last, const QuantizedIo& io) {
  field_linear<Int8Form, Tiles::kFieldsAtOnce, Tiles::kTokens, Tiles::kLone>(w, first, last, io);
}

}  // namespace
