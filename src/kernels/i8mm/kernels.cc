#include "kernels/i8mm/dot16.h"
#include "kernels/table.h"
// After dot16.h, on which it is written.
#include "kernels/shared/field_linear.h"

#include "kernels/shared/peak.h"

namespace bitcpm::kernels {

// Everything else is as in neon. Tile sizes (fields x tokens): 24 of the 32 128-bit registers hold
// sums; a lone token has sixteen, four for each field.
void install_i8mm(KernelTable& table) {
  table.isa = "i8mm";
  table.ternary_fields = field_linear<TernaryForm, 1, 6, 4>;
  table.int8_fields = field_linear<Int8Form, 1, 6, 4>;
  table.screen_fields = field_linear<ScreenForm, 1, 6, 4>;
  table.int8_peak = int8_peak<4>;
}

}  // namespace bitcpm::kernels
