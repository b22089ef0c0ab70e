#include "kernels/i8mm/dot16.h"
// After dot16.h, on which it is written.
#include "kernels/neon/lane_bytes.h"
// After lane_bytes.h, on which it is written.
#include "kernels/shared/decoded_linear.h"

#include "kernels/shared/peak.h"

namespace {

// Sixteen of the 32 128-bit registers hold sums.
struct Tiles {
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 4, kLone = 4;
  static constexpr size_t kLeastDecoded = 6;
};

}  // namespace

namespace bitcpm::kernels {

// Everything else is as in neon.
void install_i8mm(KernelTable& table) {
  table.isa = "i8mm";
  table.few_tokens = 3;
  install_decoded<Tiles>(table);
  table.int8_instruction = "usdot";
  table.int8_peak = int8_peak<4>;
}

}  // namespace bitcpm::kernels
