#include "kernels/avxvnni/dot16.h"
#include "kernels/table.h"
// After dot16.h, on which it is written.
#include "kernels/shared/field_linear.h"

#include "kernels/shared/peak.h"

namespace bitcpm::kernels {

// Everything else is as in avx2. Tile sizes (fields x tokens): eight sums, weights and inputs
// within sixteen registers. A lone token takes four fields: with the two sums of one, which do not
// hide the latency of an instruction, 8-bit weights took twice as long.
void install_avxvnni(KernelTable& table) {
  table.isa = "avxvnni";
  table.ternary_fields = field_linear<TernaryForm, 1, 4, 4>;
  table.int8_fields = field_linear<Int8Form, 1, 4, 4>;
  table.screen_fields = field_linear<ScreenForm, 1, 4, 4>;
  table.int8_peak = int8_peak<4>;
}

}  // namespace bitcpm::kernels
