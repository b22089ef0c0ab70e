#pragma once

#include "kernels/amx/bf16_block.h"
#include "kernels/amx/token_tiles.h"
#include "kernels/shared/dense_tile.h"

// bf16_products by tiles. A panel of weights has the layout of a tile's rows already: pairs of
// neighbouring k for sixteen rows.
namespace {

using bitcpm::kernels::Bf16Io;
using bitcpm::kernels::Bf16Panels;
using bitcpm::kernels::kBf16Block;

static_assert(kBf16Block == kTileRowBytes / sizeof(uint16_t), "a tile's row is a block");
static_assert(kPanelRows == kTileRows, "a panel is as wide as a tile");

constexpr size_t kBf16BlockTokens = 8;  // tiles of tokens that meet a panel while it is cached

template <int Sum>
inline void store_tile(const Bf16Panels& w, size_t panel, const Bf16Io& io, size_t start,
                       size_t tokens) {
  const size_t row = panel * kPanelRows;
  if (row + kPanelRows <= w.rows) {
    tile_store<Sum>(io.y + start * io.ldy + row, io.ldy * sizeof(float));
    return;
  }
  alignas(64) float sums[kTileRows][kPanelRows];
  tile_store<Sum>(sums, kTileRowBytes);
  for (size_t t = 0; t < tokens; ++t) {
    __builtin_memcpy(io.y + (start + t) * io.ldy + row, sums[t], (w.rows - row) * sizeof(float));
  }
}

inline void ask_for_tile(const uint32_t* p) {
#pragma GCC unroll 16
  for (size_t row = 0; row < kTileRows; ++row) ask_ahead(p + row * kPanelRows);
}

// P panels by T tiles of `tokens`, which begin at starts[0] and starts[1].
template <int T, int P>
inline void bf16_tiles(const Bf16Panels& w, size_t panel, const Bf16Io& io, const size_t* starts,
                       size_t tokens) {
  const size_t panel_words = w.cols / 2 * kPanelRows;
  const uint32_t* rows = w.pairs + panel * panel_words;
  const auto load_tokens = [&]<int I>(size_t k) {
    tile_load_once<kBf16Left + I>(io.x + starts[I] * io.ldx + k * kBf16Block,
                                  io.ldx * sizeof(uint16_t));
  };
  const auto load_weights = [&]<int I>(size_t k) {
    const uint32_t* block = rows + I * panel_words + k * (kBf16Block / 2 * kPanelRows);
    tile_load<kBf16Right + I>(block, kTileRowBytes);
    ask_for_tile(block);
  };
  zero_bf16_sums<T, P>();
  add_bf16_blocks<T, P>(w.cols / kBf16Block, load_tokens, load_weights);
  each_bf16_sum<T, P>([&]<int I, int J>() {
    store_tile<kBf16Sums + 2 * I + J>(w, panel + J, io, starts[I], tokens);
  });
}

// Panels [first, last) by all tokens.
void tile_bf16_products(const Bf16Panels& w, size_t first, size_t last, const Bf16Io& io) {
  const size_t tokens = tile_tokens(io.tokens);
  configure_tiles(bf16_tile_config(tokens));
  for (size_t begin = 0; begin < io.tokens; begin += kBf16BlockTokens * tokens) {
    const TokenTiles<kBf16BlockTokens> tiles(begin, io.tokens);
    by_twos(last - first, [&]<int P>(size_t panel) {
      by_twos(tiles.count, [&]<int T>(size_t tile) {
        bf16_tiles<T, P>(w, first + panel, io, tiles.starts + tile, tokens);
      });
    });
  }
  release_tiles();
}

}  // namespace
