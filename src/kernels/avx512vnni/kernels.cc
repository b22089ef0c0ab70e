#include "kernels/avx512vnni/dot16.h"
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

// Tile sizes (panels x tokens): sixteen sums, weights and inputs within 32 registers.
void install_avx512vnni(KernelTable& table) {
  table.isa = "avx512vnni";
  table.ternary_linear = linear<TernaryTile, TileSize<2, 8, 4>>;
  table.bf16_linear = linear<DenseTile<Bf16Panels>, TileSize<1, 8, 4>>;
  table.f32_linear = linear<DenseTile<F32Panels>, TileSize<1, 8, 4>>;
  table.rms_norm = rms_norm;
  table.silu_mul = silu_mul;
  table.attention = attention<8, 4, 4>;
  table.merge_attention = merge_attention;
  table.quantize = quantize;
  table.ternary_fields = field_linear<TernaryForm, 4, 3>;
  table.int8_fields = field_linear<Int8Form, 4, 3>;
  table.screen_fields = field_linear<ScreenForm, 4, 3>;
  table.scaled_norms = scaled_norms;
  table.int8_peak = int8_peak<12>;
  table.f32_peak = f32_peak<12>;
  table.read_bytes = read_bytes;
}

}  // namespace bitcpm::kernels
