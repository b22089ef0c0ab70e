#pragma once

#include "kernels/amx/token_tiles.h"
#include "kernels/shared/panel_tile.h"

// bf16_products by tiles. A panel of weights has the layout of a tile's rows already: pairs of
// neighbouring k for sixteen rows. tile_dot_bf16() adds the even k of a block of 32 by fma, the odd
// ones likewise, and their sum to the total: the order of kernels/table.h.
namespace {

using bitcpm::kernels::Bf16Io;
using bitcpm::kernels::Bf16Panels;
using bitcpm::kernels::kBf16Block;

static_assert(kBf16Block == kTileRowBytes / sizeof(uint16_t), "a tile's row is a block");
static_assert(kPanelRows == kTileRows, "a panel is as wide as a tile");

constexpr size_t kMostAtOnce = 2;       // tiles of tokens, and panels, whose sums are in registers
constexpr size_t kBf16BlockTokens = 8;  // tiles of tokens that meet a panel while it is cached
constexpr size_t kBf16AheadBytes = 4096;  // from where weights are prefetched

// Tile registers.
enum : int { kBf16Sums = 0, kBf16Tokens = 4, kBf16Rows = 6 };

inline TileConfig bf16_tile_config(size_t tokens) {
  TileConfig config;
  for (size_t i = 0; i < kMostAtOnce * kMostAtOnce; ++i) {
    config.set(kBf16Sums + i, tokens, kTileRowBytes);
  }
  for (size_t i = 0; i < kMostAtOnce; ++i) {
    config.set(kBf16Tokens + i, tokens, kTileRowBytes);
    config.set(kBf16Rows + i, kTileRows, kTileRowBytes);
  }
  return config;
}

template <int T, int P>
inline void store_tile(const Bf16Panels& w, size_t panel, const Bf16Io& io, size_t start,
                       size_t tokens) {
  const size_t row = (panel + P) * kPanelRows;
  if (row + kPanelRows <= w.rows) {
    tile_store<kBf16Sums + 2 * T + P>(io.y + start * io.ldy + row, io.ldy * sizeof(float));
    return;
  }
  alignas(64) float sums[kTileRows][kPanelRows];
  tile_store<kBf16Sums + 2 * T + P>(sums, kTileRowBytes);
  for (size_t t = 0; t < tokens; ++t) {
    __builtin_memcpy(io.y + (start + t) * io.ldy + row, sums[t], (w.rows - row) * sizeof(float));
  }
}

inline void prefetch_tile(const uint32_t* p) {
#pragma GCC unroll 16
  for (size_t row = 0; row < kTileRows; ++row) {
    __builtin_prefetch(reinterpret_cast<const char*>(p) + kBf16AheadBytes + row * kTileRowBytes);
  }
}

// P panels by T tiles of `tokens`, which begin at starts[0] and starts[1].
template <int T, int P>
inline void bf16_tiles(const Bf16Panels& w, size_t panel, const Bf16Io& io, const size_t* starts,
                       size_t tokens) {
  tile_zero<kBf16Sums>();
  if (P == 2) tile_zero<kBf16Sums + 1>();
  if (T == 2) tile_zero<kBf16Sums + 2>();
  if (T == 2 && P == 2) tile_zero<kBf16Sums + 3>();
  const size_t pitch = io.ldx * sizeof(uint16_t);
  const uint16_t* x0 = io.x + starts[0] * io.ldx;
  const uint16_t* x1 = T == 2 ? io.x + starts[1] * io.ldx : x0;
  const size_t panel_words = w.cols / 2 * kPanelRows;
  const uint32_t* rows = w.pairs + panel * panel_words;
  for (size_t k = 0; k < w.cols; k += kBf16Block, rows += kBf16Block / 2 * kPanelRows) {
    tile_load<kBf16Tokens>(x0 + k, pitch);
    tile_load<kBf16Rows>(rows, kTileRowBytes);
    prefetch_tile(rows);
    tile_dot_bf16<kBf16Sums, kBf16Tokens, kBf16Rows>();
    if (P == 2) {
      tile_load<kBf16Rows + 1>(rows + panel_words, kTileRowBytes);
      prefetch_tile(rows + panel_words);
      tile_dot_bf16<kBf16Sums + 1, kBf16Tokens, kBf16Rows + 1>();
    }
    if (T == 2) {
      tile_load<kBf16Tokens + 1>(x1 + k, pitch);
      tile_dot_bf16<kBf16Sums + 2, kBf16Tokens + 1, kBf16Rows>();
      if (P == 2) tile_dot_bf16<kBf16Sums + 3, kBf16Tokens + 1, kBf16Rows + 1>();
    }
  }
  store_tile<0, 0>(w, panel, io, starts[0], tokens);
  if (P == 2) store_tile<0, 1>(w, panel, io, starts[0], tokens);
  if (T == 2) store_tile<1, 0>(w, panel, io, starts[1], tokens);
  if (T == 2 && P == 2) store_tile<1, 1>(w, panel, io, starts[1], tokens);
}

// P panels by the tiles that begin at starts[0, tiles).
template <int P>
inline void bf16_panels(const Bf16Panels& w, size_t panel, const Bf16Io& io, const size_t* starts,
                        size_t tiles, size_t tokens) {
  size_t i = 0;
  for (; i + 2 <= tiles; i += 2) bf16_tiles<2, P>(w, panel, io, starts + i, tokens);
  if (i < tiles) bf16_tiles<1, P>(w, panel, io, starts + i, tokens);
}

// Panels [first, last) by all tokens.
void tile_bf16_products(const Bf16Panels& w, size_t first, size_t last, const Bf16Io& io) {
  const size_t tokens = tile_tokens(io.tokens);
  configure_tiles(bf16_tile_config(tokens));
  for (size_t begin = 0; begin < io.tokens; begin += kBf16BlockTokens * tokens) {
    const TokenTiles<kBf16BlockTokens> tiles(begin, io.tokens);
    size_t panel = first;
    for (; panel + 2 <= last; panel += 2) {
      bf16_panels<2>(w, panel, io, tiles.starts, tiles.count, tokens);
    }
    if (panel < last) bf16_panels<1>(w, panel, io, tiles.starts, tiles.count, tokens);
  }
  release_tiles();
}

}  // namespace
