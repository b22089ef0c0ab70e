#pragma once

#include <stddef.h>
#include <stdint.h>

// Operands of attention over a paged cache. Plain data, for the same reason as in table.h.

namespace bitcpm::kernels {

constexpr size_t kKvBlockTokens = 32;     // positions per block of the cache
constexpr size_t kAttentionSplit = 1024;  // positions per part; parts may run on several threads
constexpr size_t kMaxHeadDim = 256;

// Element types of the cache. bf16: queries and weights are rounded to bf16 as well, since that is
// what tiles multiply (docs/adr/0036; those take subnormal operands and sums for zero). int8: value
// = scale * code, a bf16 scale per position and 32 dimensions of a head (the last ones may be 16).
enum class KvType : uint8_t { kFloat32, kBfloat16, kInt8 };
constexpr size_t kKvTypes = 3;
constexpr size_t kKvGroupDims = 32;

// Where a block of the cache has element [row][col] of a matrix of `cols` columns. bf16: elements
// of two neighbouring rows are neighbours.
constexpr size_t kv_element(KvType type, size_t cols, size_t row, size_t col) {
  if (type == KvType::kBfloat16) return (row / 2 * cols + col) * 2 + row % 2;
  return row * cols + col;
}

// Blocks of one K/V head, as AttentionArgs has them.
struct KvBlocks {
  const void* keys;
  const void* values;
  const int32_t* ids;
  size_t count;
};

// The query heads of one K/V head for some consecutive tokens of one sequence. Row r is head r %
// heads of token r / heads.
struct AttentionArgs {
  const float* q;  // token t's heads at q + t * ldq: [heads, head_dim]
  size_t ldq;
  size_t tokens, heads;
  size_t head_dim;  // a multiple of 16, at most kMaxHeadDim
  // Block b starts at k_blocks + b * block_stride bytes: elements [head_dim][32]; v_blocks
  // likewise: [32][head_dim], both as kv_element() says; on multiples of 4 bytes. int8: followed by
  // the scales, [groups][32] in both.
  const void* k_blocks;
  const void* v_blocks;
  size_t block_stride;
  size_t head_bytes;         // of a block's keys, or values, scales included
  const int32_t* block_ids;  // of the sequence, in order
  size_t context;            // positions the first token attends to, >= 1; one more each token
  float scale;
  KvBlocks next = {};  // what this thread will read after this part: asked for before its end
};

// What attention to positions [begin, begin + kAttentionSplit) came to, for every row: softmax
// weights relative to the largest score, not yet divided by their sum.
struct AttentionPart {
  float* out;  // [rows, head_dim] sum of weights times values
  float* max;  // [rows] largest score; minus infinity where a row has no position here
  float* sum;  // [rows] of the weights; 0 likewise
};

}  // namespace bitcpm::kernels
