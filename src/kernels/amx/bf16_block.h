#pragma once

#include "kernels/amx/tile_registers.h"

// Products of bf16 by tiles, two by two. tile_dot_bf16() adds the even k of a block of 32 by fma,
// the odd ones likewise, and their sum to the total: the order of kernels/table.h.
namespace {

// Tile registers.
enum : int { kBf16Sums = 0, kBf16Left = 4, kBf16Right = 6 };
constexpr size_t kBf16AtOnce = 2;  // tiles of either side, whose sums are in registers

// body<N>(first) for all of `count` tiles or panels, N of them from `first` on: two, or a last one.
template <class Body>
inline void by_twos(size_t count, const Body& body) {
  size_t first = 0;
  for (; first + 2 <= count; first += 2) body.template operator()<2>(first);
  if (first < count) body.template operator()<1>(first);
}

// rows: of every left tile and of the sums
inline TileConfig bf16_tile_config(size_t rows) {
  TileConfig config;
  for (size_t i = 0; i < kBf16AtOnce * kBf16AtOnce; ++i) {
    config.set(kBf16Sums + i, rows, kTileRowBytes);
  }
  for (size_t i = 0; i < kBf16AtOnce; ++i) {
    config.set(kBf16Left + i, rows, kTileRowBytes);
    config.set(kBf16Right + i, kTileRows, kTileRowBytes);
  }
  return config;
}

// body(left, right) for all pairs, whose sums are in register kBf16Sums + 2 * left + right.
template <int Left, int Right, class Body>
inline void each_bf16_sum(const Body& body) {
  body.template operator()<0, 0>();
  if constexpr (Right == 2) body.template operator()<0, 1>();
  if constexpr (Left == 2) body.template operator()<1, 0>();
  if constexpr (Left == 2 && Right == 2) body.template operator()<1, 1>();
}

template <int Left, int Right>
inline void zero_bf16_sums() {
  each_bf16_sum<Left, Right>([]<int L, int R>() { tile_zero<kBf16Sums + 2 * L + R>(); });
}

// Adds the products of the tiles that load_left<i>(k) and load_right<i>(k) bring to registers
// kBf16Left + i and kBf16Right + i, for blocks k of [0, count).
template <int Left, int Right, class LoadLeft, class LoadRight>
inline void add_bf16_blocks(size_t count, const LoadLeft& load_left, const LoadRight& load_right) {
  for (size_t k = 0; k < count; ++k) {
    load_left.template operator()<0>(k);
    load_right.template operator()<0>(k);
    tile_dot_bf16<kBf16Sums, kBf16Left, kBf16Right>();
    if constexpr (Right == 2) {
      load_right.template operator()<1>(k);
      tile_dot_bf16<kBf16Sums + 1, kBf16Left, kBf16Right + 1>();
    }
    if constexpr (Left == 2) {
      load_left.template operator()<1>(k);
      tile_dot_bf16<kBf16Sums + 2, kBf16Left + 1, kBf16Right>();
      if constexpr (Right == 2) tile_dot_bf16<kBf16Sums + 3, kBf16Left + 1, kBf16Right + 1>();
    }
  }
}

}  // namespace
