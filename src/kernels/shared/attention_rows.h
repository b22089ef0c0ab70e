#pragma once

// The steps of online-softmax attention (FlashAttention-2, arXiv:2307.08691, Alg. 1), written once
// over the vec16.h of the including level. For one row, positions go in chunks of 128, ascending:
//   s = scale * (q K), d ascending by fma; m' = max(m, max s); p = exp(s - m')
//   l = fma(l, exp(m - m'), sum p); o = o * exp(m - m') + p V, positions ascending by fma
// where sum p adds vectors of 16 ascending, then halves onto halves. A row's chain is the same in
// every tile. int8: q K is a sum over groups of 32 dimensions, ascending, by fma(group, scale,
// sum); p V takes p times the position's scale for p.
namespace {

using bitcpm::kernels::AttentionArgs;
using bitcpm::kernels::kKvBlockTokens;
using bitcpm::kernels::kKvGroupDims;

constexpr float kMinusInfinity = -__builtin_inff();
constexpr size_t kChunk = 128;  // positions whose scores are normalised together
constexpr size_t kChunkBlocks = kChunk / kKvBlockTokens;

inline F16x load_kv(const float* p) { return load(p); }
inline F16x load_kv(const uint16_t* p) { return load_bf16(p); }
inline F16x load_kv(const int8_t* p) { return load_int8(p); }

template <class Element>
constexpr bool kScaled = sizeof(Element) == 1;

template <class Element>
inline const Element* block_at(const AttentionArgs& a, const void* base, size_t block) {
  const auto at = static_cast<size_t>(a.block_ids[block]) * a.block_stride;
  return reinterpret_cast<const Element*>(static_cast<const char*>(base) + at);
}

// The scales of one group of one block's int8 elements: [32] bf16.
inline const uint16_t* scales_of(const AttentionArgs& a, const int8_t* elements, size_t group) {
  return reinterpret_cast<const uint16_t*>(elements + a.head_dim * kKvBlockTokens) +
         group * kKvBlockTokens;
}

// Asks for Bytes that lie `ahead` of what is read at p, one line among the arithmetic on another,
// so that memory keeps reading while the core computes: during scores for values, during values for
// the next chunk's keys. Ahead by 0 costs next to nothing.
template <size_t Bytes>
inline void ask_for(const void* p, ptrdiff_t ahead) {
  for (size_t at = 0; at < Bytes; at += 64) prefetch(static_cast<const char*>(p) + ahead + at);
}

inline ptrdiff_t distance(const void* from, const void* to) {
  return static_cast<const char*>(to) - static_cast<const char*>(from);
}

// Rows of one tile in one chunk.
template <size_t R>
struct AttentionRows {
  const float* q[R];
  float* out[R];
  size_t valid[R];  // positions of the chunk that exist for this row
  bool first;       // of their tile: they ask memory for what all rows will read next
  float* max;       // [R], updated; see AttentionPart
  float* sum;
};

}  // namespace
