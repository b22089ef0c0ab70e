#pragma once

#include <stddef.h>
#include <stdint.h>

// Operands of the integer kernels: activations of 8 or 16 bits, weights of 2 or 8 bits. Plain data,
// for the same reason as in table.h.

namespace bitcpm::kernels {

constexpr size_t kMostActGroup = 128;  // in-features that share one activation scale: this many,
constexpr size_t kLeastActGroup = 32;  // half, or this many
constexpr size_t kFieldRows = 64;      // rows of a weight matrix that travel together
constexpr size_t kFields = 4;  // sub-panels of 16 rows in them; row = 64 p + 16 field + lane

// How two planes of bytes above -128, one per in-feature each, make the values of a group of
// in-features, x ~ scale * value.
enum class ActForm : uint8_t {
  // value = first + second, |value| <= 254. The second plane holds what few elements have above
  // 127: those of at most one quad (in-features 4 line to 4 line + 3) per 32 in-features of the
  // group. So the scale is set by the largest of all others, down to half of the largest.
  kInt8,
  kInt16,  // value = 254 * first + second, |value| <= 32,384
};
constexpr int32_t kInt16Base = 254;
constexpr int32_t kInt16Top = 32384;  // 127.5 * 254 less 1: the first plane stays below 127.5
constexpr size_t kQuadEvery = 32;     // in-features per quad of the second plane

// Activations, of `group` in-features per scale: 32, 64 or 128.
struct QuantizedRows {
  int8_t* codes;        // [tokens][pitch]: [cols / group][2 planes][group]
  float* scales;        // [tokens][cols / group]; 0 where the group is all zero
  int32_t* minus_sums;  // [tokens][cols / group] minus the sum of the values
  uint8_t* lines;       // [tokens][cols / 32] of kInt8: the quads of the second plane, by their
                        // place in the group; those that are zero may be named twice
  size_t pitch;         // bytes
  size_t group;
  size_t groups;  // from row to row of scales and minus_sums: those of a whole row
  ActForm form;
};

// Some rows of floats, or the same part of each: `cols` of them, a multiple of the group.
struct ActRows {
  const float* values;
  size_t rows, cols;
  size_t stride;  // floats from row to row
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

// Weights of 8 bits, in two's complement and above -128. The upper six bits of each can be read
// alone. Byte 4 * lane + j of a line belongs to k = 4 * line + j:
//   high  three lines for four in-features: bits 2-7 of line f are those of field f; bits 0-1 are
//         of field 3: its bits 6-7 (in line 0), 4-5 (1) and 2-3 (2)
//   low   bits 0-1 of field 3, then of fields 0, 1 and 2
// Lines 0 and 1 are a plane of their own: a core reads two streams faster than one whose stride is
// three lines (docs/adr/0039).
struct Int8Fields {
  const uint8_t* high01;   // [panels][cols / 4][2][64]
  const uint8_t* high2;    // [panels][cols / 4][64]
  const uint8_t* low;      // [panels][cols / 4][64]; the screen does without
  const uint16_t* scales;  // [panels][cols / group][64] bf16
  size_t rows, cols;
  size_t group;  // a multiple of 32
};
constexpr int kScreenLow = 2;  // what the screen takes the lower two bits for

// y[t][r] for the rows of panels [first, last) of some weights.
struct QuantizedIo {
  QuantizedRows x;
  size_t tokens;
  float* y;  // [tokens, ldy]
  size_t ldy;
};

}  // namespace bitcpm::kernels
