#pragma once

#include "kernels/table.h"
// On the dot16.h of the including level, as everything here.
#include "kernels/shared/attention.h"
#include "kernels/shared/elementwise.h"
#include "kernels/shared/field_linear.h"
#include "kernels/shared/head_ceiling.h"
#include "kernels/shared/linear.h"
#include "kernels/shared/logits.h"
#include "kernels/shared/quantize.h"

// Fills the table of a level with the shared bodies. Tile sizes are all that levels choose:
//   Dense                          the TileSize of dense panels
//   kQueries, kValues, kVectors    of attention()
//   kFieldsAtOnce, kTokens, kLone  of products of integers
namespace {

template <class Tiles>
void few_ternary(const TernaryFields& w, size_t first, size_t last, const QuantizedIo& io) {
  ternary_fields<Tiles::kFieldsAtOnce, Tiles::kTokens, Tiles::kLone>(w, first, last, io);
}
template <class Form, class Tiles>
void few_bytes(const Int8Fields& w, size_t first, size_t last, const QuantizedIo& io) {
  field_linear<Form, Tiles::kFieldsAtOnce, Tiles::kTokens, Tiles::kLone>(w, first, last, io);
}

// The products of bytes, decoded anew for every few tokens. Levels that decode once have
// install_decoded() instead (decoded_linear.h).
template <class Tiles>
inline void install_products(bitcpm::kernels::KernelTable& table) {
  table.ternary_fields = few_ternary<Tiles>;
  table.int8_fields = few_bytes<Int8Form, Tiles>;
  table.screen_fields = few_bytes<ScreenForm, Tiles>;
}

// All but the products of bytes.
template <class Tiles>
inline void install_kernels(bitcpm::kernels::KernelTable& table) {
  table.bf16_linear = linear<DenseTile<Bf16Panels, LinearIo>, typename Tiles::Dense>;
  table.f32_linear = linear<DenseTile<F32Panels, LinearIo>, typename Tiles::Dense>;
  table.bf16_products = linear<DenseTile<Bf16Panels, Bf16Io>, typename Tiles::Dense>;
  table.round_to_bf16 = round_to_bf16;
  table.rms_norm = rms_norm;
  table.silu_mul = silu_mul;
  table.add_scaled = add_scaled;
  table.rotate = rotate;
  install_attention<Tiles::kQueries, Tiles::kValues, Tiles::kVectors>(table);
  table.merge_attention = merge_attention;
  table.logits_maxima = logits_maxima;
  table.logits_count = logits_count;
  table.logits_weights = logits_weights;
  table.logits_probe = logits_probe;
  table.logits_sums = logits_sums;
  table.logits_gather = logits_gather;
  table.quantize = quantize;
  table.head_ceiling = head_ceiling;
}

}  // namespace
