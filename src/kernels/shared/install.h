#pragma once

#include "kernels/table.h"
// On the dot16.h of the including level, as everything here.
#include "kernels/shared/attention.h"
#include "kernels/shared/elementwise.h"
#include "kernels/shared/field_linear.h"
#include "kernels/shared/linear.h"
#include "kernels/shared/logits.h"
#include "kernels/shared/quantize.h"
#include "kernels/shared/scaled_norms.h"

// Fills the table of a level with the shared bodies. Tile sizes are all that levels choose:
//   Dense                          the TileSize of dense panels
//   kQueries, kValues, kVectors    of attention()
//   kFieldsAtOnce, kTokens, kLone  of products of integers
namespace {

// The products of bytes, which a level may improve on alone.
template <class Tiles>
inline void install_products(bitcpm::kernels::KernelTable& table) {
  constexpr size_t kF = Tiles::kFieldsAtOnce;
  constexpr size_t kT = Tiles::kTokens;
  constexpr size_t kLone = Tiles::kLone;
  table.ternary_fields = ternary_fields<kF, kT, kLone>;
  table.int8_fields = field_linear<Int8Form, kF, kT, kLone>;
  table.screen_fields = field_linear<ScreenForm, kF, kT, kLone>;
}

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
  table.scaled_norms = scaled_norms;
  install_products<Tiles>(table);
}

}  // namespace
