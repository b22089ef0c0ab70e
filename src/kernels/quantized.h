#pragma once

#include <stddef.h>
#include <stdint.h>

// Operands of the `fast` kernels: int8 activations and weights of 2 or 8 bits. Plain data, for the
// same reason as in table.h.

namespace bitcpm::kernels {

constexpr size_t kActGroup = 32;      // in-features that share one activation scale
constexpr size_t kFieldRows = 64;     // rows of a weight matrix that travel together
constexpr size_t kFields = 4;         // sub-panels of 16 rows in them; row = 64 p + 16 field + lane
constexpr int kInt8WeightZero = 128;  // what stands for weight 0 in an unsigned byte

// What the largest element of a group has above 127: its scale is then set by the second largest,
// down to half of the largest, which costs one more product per group and halves the error of
// activations with outliers.
struct Extra {
  uint32_t quad;  // the four codes to add to those at in-features 4 * line .. + 3 of the group
  uint32_t line;  // 0 to 7
};

// Activations x[t][k] ~ scales[t][k / 32] * codes[t][k], |code| <= 127 (254 with its extra). Rows
// are dense.
struct QuantizedRows {
  int8_t* codes;        // [tokens, cols]
  float* scales;        // [tokens, cols / 32]; 0 where the group is all zero
  int32_t* minus_sums;  // [tokens, cols / 32] minus the sum of the codes, extra included
  Extra* extras;        // [tokens, cols / 32], or null: no code has one
  size_t cols;          // a multiple of 32
};

// Ternary weights, row-field packing: of the 64 bytes of a line, byte 4 * lane + j belongs to k =
// 4 * line + j; its bits 2 f, 2 f + 1 are the code (weight + 1) of row 64 p + 16 f + lane. A mask
// yields 4^f times the code of 16 rows, ready for an u8 x s8 dot product.
struct TernaryFields {
  const uint8_t* lines;    // [panels][cols / 4][64]
  const uint16_t* scales;  // [panels][cols / group][64] bf16
  size_t rows, cols;       // rows past the last have scale 0
  size_t group;            // in-features per scale, a multiple of 32
};

// Weights of 8 bits, weight + 128 split into nibbles, so that the upper halves can be read alone.
// A line covers fields 2 j and 2 j + 1; its byte 4 * lane + i belongs to k = 4 * line + i:
//   high: bits 0-3 the upper nibble of field 2 j, bits 4-7 that of field 2 j + 1
//   low:  bits 4-7 the lower nibble of field 2 j, bits 0-3 that of field 2 j + 1
struct Int8Fields {
  const uint8_t* high;     // [panels][cols / 4][2][64]
  const uint8_t* low;      // likewise
  const uint16_t* scales;  // [panels][cols / group][64] bf16
  size_t rows, cols;
  size_t group;  // a multiple of 32
};
constexpr int kScreenZero = kInt8WeightZero - 8;  // weight 0 where lower nibbles count as 8

// y[t][r] for the rows of panels [first, last) of some weights.
struct QuantizedIo {
  QuantizedRows x;
  size_t tokens;
  float* y;  // [tokens, ldy]
  size_t ldy;
};

}  // namespace bitcpm::kernels
