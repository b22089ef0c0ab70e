#include "kernels/neon/dot16.h"
// After dot16.h, on which it is written.
#include "kernels/shared/install.h"

#include "kernels/shared/peak.h"

namespace {

// Sixteen of the 32 128-bit registers hold sums; the others hold weights, what they are decoded
// with, products and inputs.
struct Tiles {
  using Dense = TileSize<1, 2, 1>;
  static constexpr size_t kQueries = 2, kValues = 2, kVectors = 2;
  static constexpr size_t kFieldsAtOnce = 1, kTokens = 4, kLone = 4;
};

}  // namespace

namespace bitcpm::kernels {

void install_neon(KernelTable& table) {
  table.isa = "neon";
  table.few_tokens = 1;
  install_kernels<Tiles>(table);
  install_products<Tiles>(table);
  table.int8_instruction = "smull";
  table.int8_peak = int8_peak<4>;
  table.f32_peak = f32_peak<4>;
  table.bf16_peak = f32_peak<4>;
  table.read_bytes = read_bytes;
}

}  // namespace bitcpm::kernels
