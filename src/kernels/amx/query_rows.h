#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/shared/attention.h"

// Rows of queries that attention by tiles takes together, and their softmax.
namespace {

constexpr size_t kMostQueries = 4 * kTileRows;
constexpr size_t kRowsAtOnce = 8;  // in the softmax
static_assert(kMostQueries % kRowsAtOnce == 0);

// Sixteen weights, from exp(-87) up or 0: none is subnormal, which this instruction takes for zero.
inline void store_weights(uint16_t* p, F16x v) {
  const __m256bh near = _mm512_cvtneps_pbh(v.v);
  __builtin_memcpy(p, &near, sizeof(near));
}

// Up to kMostQueries rows, in tiles of equal size. Rows that fill the last tile, and the last
// kRowsAtOnce, are computed like the others and not returned. Rows in memory are a line longer than
// they need to be, where others do not say how long they are: those of a tile do not share a set of
// the cache.
class QueryRows {
 public:
  // Rows [first, first + count) of a.
  void load_queries(const AttentionArgs& a, size_t first, size_t count) {
    first_ = first;
    count_ = count;
    tiles_ = (count + kTileRows - 1) / kTileRows;
    tile_rows_ = (count + tiles_ - 1) / tiles_;
    some_ = false;
    for (size_t r = 0; r < kMostQueries; ++r) {
      max_[r] = kMinusInfinity;
      sum_[r] = 0;
      valid_[r] = 0;
    }
    for (size_t r = 0; r < count; ++r) {
      const size_t row = first + r;
      const float* from = a.q + row / a.heads * a.ldq + row % a.heads * a.head_dim;
      for (size_t d = 0; d < a.head_dim; d += 16) {
        store_bf16(q[r] + d, mul(load(from + d), set1(a.scale)));
      }
    }
    const size_t softmax_rows = (count + kRowsAtOnce - 1) / kRowsAtOnce * kRowsAtOnce;
    const size_t tile_rows = tiles_ * tile_rows_;
    const size_t end = softmax_rows > tile_rows ? softmax_rows : tile_rows;
    for (size_t r = count; r < end; ++r) clear(r);
  }

  size_t tiles() const { return tiles_; }
  size_t tile_rows() const { return tile_rows_; }
  size_t last_token(const AttentionArgs& a) const { return (first_ + count_ - 1) / a.heads; }
  bool have_outputs() const { return some_; }  // until then `out` is anything

  // The scores of `width` positions from `begin` on become weights; outputs so far get their
  // factor. Meanwhile half of what is `ahead` is asked for; the products ask for the other half.
  void weigh(const AttentionArgs& a, size_t begin, size_t width, ChunkAhead& ahead) {
    const bool whole = valid_positions(a, first_ / a.heads, begin) == kChunk;
    if (!whole) cut(a, begin, width);
    for (size_t row = 0; row < count_; row += kRowsAtOnce) {
      if (whole) {
        weigh_rows<true>(row, width, a.head_dim, ahead);
      } else {
        weigh_rows<false>(row, width, a.head_dim, ahead);
      }
    }
  }
  void outputs_added() { some_ = true; }

  void finish(const AttentionArgs& a, const AttentionPart& part) const {
    for (size_t r = 0; r < count_; ++r) {
      part.max[first_ + r] = max_[r];
      part.sum[first_ + r] = sum_[r];
      float* to = part.out + (first_ + r) * a.head_dim;
      for (size_t d = 0; d < a.head_dim; d += 16) store(to + d, some_ ? load(out[r] + d) : set1(0));
    }
  }

  alignas(64) uint16_t q[kMostQueries][kMaxHeadDim + 32];
  alignas(64) float score[kMostQueries][kChunk];
  alignas(64) uint16_t weight[kMostQueries][kChunk + 32];
  alignas(64) float out[kMostQueries][kMaxHeadDim + 16];

 private:
  void clear(size_t r) {
    __builtin_memset(q[r], 0, sizeof(q[r]));
    __builtin_memset(score[r], 0, sizeof(score[r]));
    __builtin_memset(weight[r], 0, sizeof(weight[r]));
    __builtin_memset(out[r], 0, sizeof(out[r]));
  }

  // Leaves out the scores of positions that a row does not see.
  void cut(const AttentionArgs& a, size_t begin, size_t width) {
    size_t token = first_ / a.heads;
    size_t head = first_ % a.heads;
    for (size_t r = 0; r < count_; ++r) {
      valid_[r] = valid_positions(a, token, begin);
      for (size_t i = 0; i < width; i += kKvBlockTokens) {
        leave_out(score[r] + i, valid_[r] > i ? valid_[r] - i : 0);
      }
      if (++head == a.heads) head = 0, ++token;
    }
  }

  template <bool Whole>
  void weigh_rows(size_t row, size_t width, size_t head_dim, ChunkAhead& ahead) {
    SoftmaxRows<kRowsAtOnce> rows;
    rows.max = max_ + row;
    rows.sum = sum_ + row;
    for (size_t r = 0; r < kRowsAtOnce; ++r) rows.valid[r] = Whole ? kChunk : valid_[row + r];
    float keep[kRowsAtOnce];
    weigh_chunk<Whole>(rows, width, score + row, keep, [&](size_t r, size_t i, F16x p) {
      store_weights(weight[row + r] + i, p);
      // The first rows, in two halves each: half of the 2 * head_dim times that there are.
      if (row == 0 && i % (kChunk / 2) == 0) ahead.ask(head_dim / (2 * kRowsAtOnce));
    });
    for (size_t r = 0; r < kRowsAtOnce && some_; ++r) scale_output(out[row + r], head_dim, keep[r]);
  }

  size_t first_, count_;
  size_t tiles_, tile_rows_;
  bool some_;
  float max_[kMostQueries];
  float sum_[kMostQueries];
  size_t valid_[kMostQueries];  // of a chunk that not all rows see whole
};

}  // namespace
