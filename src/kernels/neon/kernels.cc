#include "kernels/neon/dot16.h"
#include "kernels/table.h"
// After dot16.h, on which they are written.
#include "kernels/shared/linear.h"

#include "kernels/shared/elementwise.h"

#include "kernels/shared/attention.h"

#include "kernels/shared/field_linear.h"

#include "kernels/shared/quantize.h"

#include "kernels/shared/scaled_norms.h"

#include "kernels/shared/peak.h"

namespace bitcpm::kernels {

// Tile sizes (panels or fields x tokens): sixteen of the 32 128-bit registers hold sums; the others
// hold weights, what they are decoded with, products and inputs.
void install_neon(KernelTable& table) {
  table.isa = "neon";
  table.ternary_linear = linear<TernaryTile, TileSize<1, 4, 2>>;
  table.bf16_linear = linear<DenseTile<Bf16Panels>, TileSize<1, 2, 1>>;
  table.f32_linear = linear<DenseTile<F32Panels>, TileSize<1, 2, 1>>;
  table.rms_norm = rms_norm;
  table.silu_mul = silu_mul;
  table.attention = attention<2, 2, 2>;
  table.merge_attention = merge_attention;
  table.quantize = quantize;
  table.ternary_fields = field_linear<TernaryForm, 1, 4, 4>;
  table.int8_fields = field_linear<Int8Form, 1, 4, 4>;
  table.screen_fields = field_linear<ScreenForm, 1, 4, 4>;
  table.scaled_norms = scaled_norms;
  table.int8_peak = int8_peak<4>;
  table.f32_peak = f32_peak<4>;
  table.read_bytes = read_bytes;
}

}  // namespace bitcpm::kernels
