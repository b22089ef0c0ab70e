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

}  // namespace
