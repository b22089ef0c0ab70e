#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/shared/chunk.h"

// Sums of products by tiles, and how they are folded between the products of others.
namespace {

struct TileSums {
  alignas(64) int32_t field[kFields][kTileRows][16];
};

static_assert(kTileRows <= kMostFolded, "fold_rows() has zeros for every token of a tile");

// The fold of one tile's sums, a token at a time. Products keep the tile unit busy for 16 cycles
// each, in which the vector units fold a token for nothing. Done at a stretch, each waits for the
// other (docs/adr/0034). Whole: every chunk is a whole weight group.
template <bool Whole>
class TileFold {
 public:
  TileFold() = default;  // of no tokens

  // sums: of `tokens` tokens by one chunk. scales: of the tokens, `scale_stride` apart
  TileFold(const TileSums& sums, size_t tokens, const Chunk& chunk, const float* scales,
           size_t scale_stride, const FoldRows& rows)
      : sums_(&sums),
        tokens_(tokens),
        weights_(chunk),
        scales_(scales),
        scale_stride_(scale_stride),
        rows_(rows),
        first_(chunk.first),
        last_(chunk.last) {}

  // Share `slot` of Slots; all of them, in order, fold every token.
  template <size_t Slots>
  [[gnu::always_inline]] inline void share(size_t slot) {
    constexpr size_t kTokens = (kTileRows + Slots - 1) / Slots;
    for (size_t t = slot * kTokens; t < (slot + 1) * kTokens && t < kTileRows; ++t) token(t);
  }
  void all() {
    for (size_t t = 0; t < tokens_; ++t) token(t);
  }

 private:
  // Token t, from 0 on; nothing where there are fewer. Called with constants, which addresses then
  // contain.
  [[gnu::always_inline]] inline void token(size_t t) {
    if (t >= tokens_) return;
    fold_token(
        Whole || first_, Whole || last_, weights_, *scales_,
        {rows_.row.inner + t * kFieldRows, rows_.row.before + t * kFieldRows, rows_.row.after},
        [&](size_t f) { return I16x{_mm512_load_si512(sums_->field[f][t])}; });
    scales_ += scale_stride_;
    rows_.row.after += rows_.after_stride;
  }

  const TileSums* sums_ = nullptr;
  size_t tokens_ = 0;
  WeightScales weights_;
  const float* scales_ = nullptr;
  size_t scale_stride_ = 0;
  FoldRows rows_ = {};
  bool first_ = false;
  bool last_ = false;
};

}  // namespace
