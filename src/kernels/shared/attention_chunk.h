#pragma once

// The steps of online-softmax attention (FlashAttention-2, arXiv:2307.08691, Alg. 1), written once
// over the vec16.h of the including level. For one row, positions go in chunks of 128, ascending:
//   s = scale * (q K), d ascending by fma; m' = max(m, max s); p = exp(s - m')
//   l = fma(l, exp(m - m'), sum p); o = o * exp(m - m') + p V, positions ascending by fma
// where sum p adds vectors of 16 ascending, then halves onto halves. A row's chain is the same in
// every tile.
namespace {

using bitcpm::kernels::AttentionArgs;
using bitcpm::kernels::kKvBlockTokens;

constexpr float kMinusInfinity = -__builtin_inff();
constexpr size_t kChunk = 128;  // positions whose scores are normalised together
constexpr size_t kChunkBlocks = kChunk / kKvBlockTokens;

inline const float* block_at(const AttentionArgs& a, const float* base, size_t block) {
  return base + static_cast<size_t>(a.block_ids[block]) * a.block_stride;
}

// Rows of one tile in one chunk.
template <size_t R>
struct AttentionRows {
  const float* q[R];
  float* out[R];
  size_t valid[R];  // positions of the chunk that exist for this row
  float* max;       // [R], updated; see AttentionPart
  float* sum;
};

// score[r][at + 0..31] = scale * q_r K of one block; minus infinity where there is no position.
template <size_t R>
inline void score_block(const AttentionArgs& a, const AttentionRows<R>& rows, const float* k,
                        size_t at, float (*score)[kChunk]) {
  F16x s0[R];
  F16x s1[R];
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) s0[r] = s1[r] = set1(0);
  for (size_t d = 0; d < a.head_dim; ++d) {
    const F16x k0 = load(k + d * kKvBlockTokens);
    const F16x k1 = load(k + d * kKvBlockTokens + 16);
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      const F16x q = set1(rows.q[r][d]);
      s0[r] = fma(q, k0, s0[r]);
      s1[r] = fma(q, k1, s1[r]);
    }
  }
  const F16x scale = set1(a.scale);
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
    // Slots past the context hold whatever their last owner left: they must not even be multiplied
    // with a weight.
    const size_t valid = rows.valid[r];
    store(score[r] + at,
          keep_first(mul(s0[r], scale), valid > at ? valid - at : 0, kMinusInfinity));
    store(score[r] + at + 16,
          keep_first(mul(s1[r], scale), valid > at + 16 ? valid - at - 16 : 0, kMinusInfinity));
  }
}

// Turns the scores of a chunk into weights and folds them into max and sum. keep[r]: what the
// row's output so far is to be multiplied by.
template <size_t R>
inline void weigh_chunk(const AttentionRows<R>& rows, size_t width, float (*score)[kChunk],
                        float* keep) {
  float shift[16] = {};
  for (size_t r = 0; r < R; ++r) {
    F16x largest = load(score[r]);
    for (size_t i = 16; i < width; i += 16) largest = max(largest, load(score[r] + i));
    const float chunk_max = reduce_max(largest);
    const float new_max = rows.max[r] > chunk_max ? rows.max[r] : chunk_max;
    shift[r] = rows.sum[r] == 0 ? 0 : rows.max[r] - new_max;
    rows.max[r] = new_max;
  }
  store(shift, exp16(load(shift)));
  for (size_t r = 0; r < R; ++r) {
    keep[r] = rows.sum[r] == 0 ? 0 : shift[r];  // first chunk: nothing to keep
    const size_t valid = rows.valid[r];
    const F16x row_max = set1(rows.max[r]);
    F16x sum = set1(0);
    for (size_t i = 0; i < valid; i += 16) {
      const F16x p = keep_first(exp16(sub(load(score[r] + i), row_max)), valid - i, 0);
      store(score[r] + i, p);
      sum = add(sum, p);
    }
    rows.sum[r] = __builtin_fmaf(rows.sum[r], keep[r], reduce_add(sum));
  }
}

// What a sub-tile of add_values() covers: its rows begin at `row`, its part of the head at `dim`,
// and the chunk's positions are [begin, end).
struct ValueTile {
  size_t row, dim;
  size_t first_block;  // of the chunk
  size_t begin, end;
};

// out[r] = out[r] * keep[r] + weights V for R rows by D vectors; without the factor if not First.
template <size_t R, size_t D, bool First, size_t Rows>
inline void add_values(const AttentionArgs& a, const AttentionRows<Rows>& rows, const ValueTile& t,
                       const float (*weight)[kChunk], const float* keep) {
  F16x acc[R][D];
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (size_t d = 0; d < D; ++d) {
      const F16x old = load(rows.out[t.row + r] + t.dim + 16 * d);
      acc[r][d] = First ? mul(old, set1(keep[t.row + r])) : old;
    }
  }
  for (size_t j = t.begin; j < t.end;) {
    const float* v = block_at(a, a.v_blocks, t.first_block + j / kKvBlockTokens) + t.dim;
    const size_t stop = (j / kKvBlockTokens + 1) * kKvBlockTokens;
    for (const size_t end = stop < t.end ? stop : t.end; j < end; ++j) {
      F16x value[D];
#pragma GCC unroll 8
      for (size_t d = 0; d < D; ++d) value[d] = load(v + j % kKvBlockTokens * a.head_dim + 16 * d);
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) {
        const F16x p = set1(weight[t.row + r][j]);
#pragma GCC unroll 8
        for (size_t d = 0; d < D; ++d) acc[r][d] = fma(p, value[d], acc[r][d]);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (size_t d = 0; d < D; ++d) store(rows.out[t.row + r] + t.dim + 16 * d, acc[r][d]);
  }
}

// The same for the whole head of R rows, which share the positions below the least of their valid
// counts; what single rows have beyond that follows row by row.
template <size_t R, size_t D, size_t Rows>
inline void add_head(const AttentionArgs& a, const AttentionRows<Rows>& rows, size_t row,
                     size_t first_block, const float (*weight)[kChunk], const float* keep) {
  size_t common = rows.valid[row];
  for (size_t r = 1; r < R; ++r) {
    common = rows.valid[row + r] < common ? rows.valid[row + r] : common;
  }
  size_t dim = 0;
  for (; dim + 16 * D <= a.head_dim; dim += 16 * D) {
    add_values<R, D, true>(a, rows, {row, dim, first_block, 0, common}, weight, keep);
  }
  for (; dim < a.head_dim; dim += 16) {
    add_values<R, 1, true>(a, rows, {row, dim, first_block, 0, common}, weight, keep);
  }
  for (size_t r = 0; r < R; ++r) {
    if (rows.valid[row + r] == common) continue;
    for (dim = 0; dim < a.head_dim; dim += 16) {
      const ValueTile rest{row + r, dim, first_block, common, rows.valid[row + r]};
      add_values<1, 1, false>(a, rows, rest, weight, keep);
    }
  }
}

}  // namespace
