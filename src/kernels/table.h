#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/attention_args.h"
#include "kernels/logits_args.h"
#include "kernels/quantized.h"

// What a CPU level provides. This header is included by object files built for CPUs that the
// running one may lack, so it holds plain data and declarations only: no inline code, no std
// templates.
//
// Every kernel here computes in f32 and fixes the order of every operation, lane for lane, so that
// all levels return the same bits (docs/numerics.md). "fma" is a fused multiply-add, rounded once.

namespace bitcpm::kernels {

constexpr size_t kPanelRows = 16;           // rows of a weight matrix that travel together
constexpr size_t kAccumulationBlock = 128;  // most products summed before the sum is folded away
constexpr size_t kBf16Block = 32;           // likewise where activations are bf16

// Dense weight rows in panels of 16; lane r of a word is row 16 * panel + r. Rows past the last are
// zero.
struct Bf16Panels {
  const uint32_t* pairs;  // [panels][cols / 2][16]: k = 2 i in the low half, 2 i + 1 in the high
  size_t rows, cols;      // cols even
};
struct F32Panels {
  const float* values;  // [panels][cols][16]
  size_t rows, cols;
};

// Rows of activations, of f32 or of bf16, and of results.
template <class Activation>
struct RowsIo {
  const Activation* x;  // [tokens, ldx], the first cols of each row
  size_t ldx;
  float* y;  // [tokens, ldy], the first rows of each row
  size_t ldy;
  size_t tokens;
};
using LinearIo = RowsIo<float>;
using Bf16Io = RowsIo<uint16_t>;

// One round of a peak loop: this many sixteen-lane multiply-adds, of one f32 (or bf16) or four int8
// products per lane.
constexpr size_t kPeakOps = 48;
constexpr size_t kF32PeakMacs = kPeakOps * 16;
constexpr size_t kInt8PeakMacs = kPeakOps * 64;

struct KernelTable {
  const char* isa;

  // Of how many tokens products with 8-bit weights take about as long as reading these.
  size_t few_tokens;

  // y[t][r] = sum_k w[r][k] x[t][k] for the rows of panels [first, last). Blocks of 128
  // in-features; in each, even and odd k have their own sum by fma, k ascending; total = total +
  // (even + odd).
  void (*bf16_linear)(const Bf16Panels& w, size_t first, size_t last, const LinearIo& io);
  void (*f32_linear)(const F32Panels& w, size_t first, size_t last, const LinearIo& io);

  // The same from activations of bf16, in blocks of 32 in-features: what tdpbf16ps does with a tile
  // (Intel SDM; both leave subnormal numbers aside). w.cols a multiple of 32.
  void (*bf16_products)(const Bf16Panels& w, size_t first, size_t last, const Bf16Io& io);

  // The nearest bf16, ties to even; a NaN stays one. n a multiple of 16.
  void (*round_to_bf16)(const float* x, size_t n, uint16_t* out);

  // out = (x / sqrt(mean(x^2) + eps)) * weight; n a multiple of 16. out may alias x.
  void (*rms_norm)(const float* x, const float* weight, float eps, size_t n, float* out);

  // h += scale * delta, [n] each, any n; they do not overlap.
  void (*add_scaled)(const float* delta, float scale, size_t n, float* h);

  // rotate_half (RoFormer, arXiv:2104.09864, in Hugging Face's pairing) of x: [heads, head_dim].
  // cos, sin: [head_dim / 2], which do not overlap it; head_dim even
  void (*rotate)(const float* cos, const float* sin, size_t heads, size_t head_dim, float* x);

  // out = gate / (1 + exp(-gate)) * up; n a multiple of 16. out may alias either.
  void (*silu_mul)(const float* gate, const float* up, size_t n, float* out);

  // Attention to positions [begin, begin + kAttentionSplit), begin a multiple of kAttentionSplit:
  // shared/attention.h. By KvType.
  void (*attention[kKvTypes])(const AttentionArgs& args, size_t begin, const AttentionPart& part);

  // out[head_dim] = row `row` of softmax(scale q K) V, from all its parts, which are overwritten.
  // out may be that row of the first part's.
  void (*merge_attention)(const AttentionPart* parts, size_t count, size_t row, size_t head_dim,
                          float* out);

  // Scans of a row of logits for the sampler: shared/logits.h.
  void (*logits_maxima)(const float* x, size_t n, float* maxima);
  size_t (*logits_count)(const float* x, size_t n, float threshold);
  void (*logits_weights)(const float* x, size_t n, float most, float inverse_temperature,
                         float* weights, float* sums);
  void (*logits_probe)(const float* x, const float* weights, size_t n, LogitsProbe* probes);
  void (*logits_sums)(const float* x, const float* weights, size_t n, float threshold, float* sums);
  size_t (*logits_gather)(const float* x, size_t n, float least, float below, size_t room,
                          int32_t* indices);

  // The integer kernels: shared/quantize.h and shared/field_tile.h define them. out: from
  // where the first of the rows begins.
  void (*quantize)(const ActRows& x, const QuantizedRows& out);
  void (*ternary_fields)(const TernaryFields& w, size_t first, size_t last, const QuantizedIo& io);
  // Activations of kInt8 only.
  void (*int8_fields)(const Int8Fields& w, size_t first, size_t last, const QuantizedIo& io);
  // int8_fields from the upper six bits alone, the lower two taken for 2.
  void (*screen_fields)(const Int8Fields& w, size_t first, size_t last, const QuantizedIo& io);

  // What none of the logits of one panel exceeds: shared/head_ceiling.h.
  float (*head_ceiling)(const HeadCeiling& of);

  // Not kernels but what bounds them (shared/peak.h): multiply-adds on registers, and loads of
  // memory, a multiple of 256 bytes.
  void (*int8_peak)(size_t rounds);  // a multiple of 32
  const char* int8_instruction;      // that int8_peak measures
  void (*f32_peak)(size_t rounds);
  void (*bf16_peak)(size_t rounds);  // of bf16_products; a multiple of 64
  void (*read_bytes)(const void* data, size_t bytes);
};

// The levels. Each overlays what it improves on a table filled by the levels below.
void install_scalar(KernelTable& table);
void install_avx2(KernelTable& table);
void install_avxvnni(KernelTable& table);  // over avx2
void install_avx512vnni(KernelTable& table);
void install_amx(KernelTable& table);  // over avx512vnni
void install_neon(KernelTable& table);
void install_dotprod(KernelTable& table);  // over neon
void install_i8mm(KernelTable& table);     // over neon

}  // namespace bitcpm::kernels
