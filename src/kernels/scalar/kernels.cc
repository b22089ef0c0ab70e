#include "kernels/scalar/dot16.h"
// After dot16.h, on which it is written.
#include "kernels/shared/install.h"

#include "kernels/scalar/peak.h"

namespace {

// Four tokens share the decoding of a weight.
struct Tiles {
  using Dense = TileSize<1, 4, 1>;
  static constexpr size_t kQueries = 2, kValues = 1, kVectors = 2;
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 4, kLone = 1;
};

}  // namespace

namespace bitcpm::kernels {

void install_scalar(KernelTable& table) {
  table.isa = "scalar";
  table.few_tokens = 1;
  install_kernels<Tiles>(table);
  install_products<Tiles>(table);
  table.int8_instruction = "plain vectors";
  table.int8_peak = int8_peak;
  table.f32_peak = f32_peak;
  table.bf16_peak = f32_peak;
  table.read_bytes = read_bytes;
}

}  // namespace bitcpm::kernels
