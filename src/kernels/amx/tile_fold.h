#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/avx512vnni/chunk.h"

// Sums of products by tiles, and how they are folded between the products of others.
namespace {

struct TileSums {
  alignas(64) int32_t field[kFields][kTileRows][16];
};

// The fold of one tile's sums, a token at a time. Products keep the tile unit busy for 16 cycles
// each, in which the vector units fold a token for nothing. Done at a stretch, each waits for the
// other (docs/adr/0034).
class TileFold {
 public:
  TileFold() = default;  // of no tokens

  // sums: of `tokens` tokens by one chunk. scales: of the tokens, `stride` apart
  TileFold(const TileSums& sums, size_t tokens, const Chunk& chunk, const float* scales,
           size_t stride, const FoldRows& rows)
      : sums_(&sums),
        left_(tokens),
        weights_(chunk),
        scales_(scales),
        stride_(stride),
        rows_(rows),
        first_(chunk.first),
        last_(chunk.last) {}

  // Up to Tokens more tokens.
  template <size_t Tokens>
  [[gnu::always_inline]] inline void next() {
    for (size_t i = 0; i < Tokens && left_ > 0; ++i) {
      fold_token(first_, last_, weights_, *scales_, rows_,
                 [&](size_t f) { return I16x{_mm512_load_si512(sums_->field[f][token_])}; });
      --left_;
      ++token_;
      scales_ += stride_;
      rows_.next();
    }
  }

 private:
  const TileSums* sums_ = nullptr;
  size_t token_ = 0;
  size_t left_ = 0;
  WeightScales weights_;
  const float* scales_ = nullptr;
  size_t stride_ = 0;
  FoldRows rows_ = {};
  bool first_ = false;
  bool last_ = false;
};

}  // namespace
