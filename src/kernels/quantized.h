#pragma once

#include <stddef.h>
#include <stdint.h>

// Operands of the integer kernels: activations of 8 or 16 bits, weights of 2 or 8 bits. Plain data,
// for the same reason as in table.h.

namespace bitcpm::kernels {

constexpr size_t kActGroup = 32;      // in-features that share one activation scale
constexpr size_t kFieldRows = 64;     // rows of a weight matrix that travel together
constexpr size_t kFields = 4;         // sub-panels of 16 rows in them; row = 64 p + 16 field + lane
constexpr int kInt8WeightZero = 128;  // what stands for weight 0 in an unsigned byte

// What stands for 32 in-features of one token, x ~ scale * value. A plane is 32 bytes above -128,
// one per in-feature; two of them follow each other.
enum class ActForm : uint8_t {
  kInt8,  // one plane, the values: |value| <= 127
  // Two planes, value = first + second, |value| <= 254. The second has at most one quad
  // (in-features 4 line to 4 line + 3) that is not zero, for what the largest element has above
  // 127: the scale is then set by the second largest, down to half of the largest. That costs one
  // more product per group and halves the error of activations with outliers.
  kInt8Outlier,
  kInt16,  // two planes, value = 254 * first + second, |value| <= 32,384
};
constexpr size_t planes_of(ActForm form) { return form == ActForm::kInt8 ? 1 : 2; }
constexpr int32_t kInt16Base = 254;
constexpr int32_t kInt16Top = 32384;  // 127.5 * 254 less 1: the first plane stays below 127.5

// Activations. Rows are dense.
struct QuantizedRows {
  int8_t* codes;        // [tokens, cols / 32, planes, 32]
  float* scales;        // [tokens, cols / 32]; 0 where the group is all zero
  int32_t* minus_sums;  // [tokens, cols / 32] minus the sum of the values
  uint8_t* lines;       // [tokens, cols / 32] the quad of the second plane, of kInt8Outlier only
  size_t cols;          // a multiple of 32
  ActForm form;
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
