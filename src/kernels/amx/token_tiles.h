#pragma once

#include "kernels/amx/tile_registers.h"

// How some tokens are covered with tiles.
namespace {

// Tokens of a tile, all of `count` if they are few.
inline size_t tile_tokens(size_t count) { return count < kTileRows ? count : kTileRows; }

// Up to Most tiles, from token `begin` on, of tile_tokens(all) each. Where sixteen do not divide
// the tokens, the last tile begins early enough to be full: some are computed once more.
template <size_t Most>
struct TokenTiles {
  size_t starts[Most];
  size_t count = 0;

  TokenTiles(size_t begin, size_t all) {
    const size_t tokens = tile_tokens(all);
    for (; count < Most && begin + count * kTileRows < all; ++count) {
      const size_t start = begin + count * kTileRows;
      starts[count] = start + tokens <= all ? start : all - tokens;
    }
  }
};

}  // namespace
