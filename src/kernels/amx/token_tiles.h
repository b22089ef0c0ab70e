#pragma once

#include "kernels/amx/tile_registers.h"

// How some tokens are covered with tiles.
namespace {

// Tokens of each of the fewest tiles that hold `count`: a product and a fold cost time for every
// token of a tile, so 20 make two tiles of 10 instead of two of 16.
inline size_t tile_tokens(size_t count) {
  const size_t tiles = (count + kTileRows - 1) / kTileRows;
  return (count + tiles - 1) / tiles;
}

// Up to Most tiles, from token `begin` on, of tile_tokens(all) each. Where that does not divide the
// tokens, the last tile begins early enough to be full: some are computed once more.
template <size_t Most>
struct TokenTiles {
  size_t starts[Most];
  size_t count = 0;

  TokenTiles(size_t begin, size_t all) {
    const size_t tokens = tile_tokens(all);
    for (; count < Most && begin + count * tokens < all; ++count) {
      const size_t start = begin + count * tokens;
      starts[count] = start + tokens <= all ? start : all - tokens;
    }
  }
};

}  // namespace
