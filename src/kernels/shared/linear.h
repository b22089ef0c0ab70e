#pragma once

#include "kernels/shared/dense_tile.h"

// Covers a range of panels and all tokens with tiles.
namespace {

// Tile sizes of one level: Panels by Tokens where there are enough tokens; what is left over goes
// in tiles of Panels by Tokens / 2, then of Single panels by one token: several, so that a lone
// token has enough independent sums to hide the latency of an addition.
template <size_t Panels, size_t Tokens, size_t Single>
struct TileSize {
  static constexpr size_t kPanels = Panels;
  static constexpr size_t kTokens = Tokens;
  static constexpr size_t kSingle = Single;
};

// P panels at a time over [first, last) by T tokens at a time, from `token` on while T fit; the
// panels that P does not divide go one by one. Returns the first token not done.
template <class Tile, size_t P, size_t T>
inline size_t cover(const typename Tile::Panels& w, size_t first, size_t last,
                    const typename Tile::Io& io, size_t token) {
  for (; token + T <= io.tokens; token += T) {
    size_t panel = first;
    for (; panel + P <= last; panel += P) Tile::template run<P, T>(w, panel, io, token);
    for (; panel < last; ++panel) Tile::template run<1, T>(w, panel, io, token);
  }
  return token;
}

template <class Tile, class Size>
void linear(const typename Tile::Panels& w, size_t first, size_t last,
            const typename Tile::Io& io) {
  constexpr size_t kGroup = 8;  // panels whose weights stay in the cache from tile to tile
  constexpr size_t kHalf = Size::kTokens > 1 ? Size::kTokens / 2 : 1;
  for (size_t panel = first; panel < last; panel += kGroup) {
    const size_t end = panel + kGroup < last ? panel + kGroup : last;
    size_t token = cover<Tile, Size::kPanels, Size::kTokens>(w, panel, end, io, 0);
    token = cover<Tile, Size::kPanels, kHalf>(w, panel, end, io, token);
    cover<Tile, Size::kSingle, 1>(w, panel, end, io, token);
  }
}

}  // namespace
