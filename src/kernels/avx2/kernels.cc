#include "kernels/avx2/decoded_bytes.h"
// After decoded_bytes.h, on which they are written.
#include "kernels/shared/decoded_linear.h"

#include "kernels/shared/peak.h"

namespace {

// Sixteen 256-bit registers hold no more sums. A lone token takes two fields at a time, which is a
// seventh faster for ternary weights and half for 8-bit ones.
struct Tiles {
  using Dense = TileSize<1, 2, 1>;
  static constexpr size_t kQueries = 2, kValues = 2, kVectors = 2;
  static constexpr size_t kFieldsAtOnce = 2, kTokens = 1, kLone = 2;
  static constexpr size_t kLeastDecoded = 2;
};

}  // namespace

namespace bitcpm::kernels {

void install_avx2(KernelTable& table) {
  table.isa = "avx2";
  table.few_tokens = 1;
  install_kernels<Tiles>(table);
  install_decoded<Tiles>(table);
  table.int8_instruction = "vpmaddubsw";
  table.int8_peak = int8_peak<4, DecodedCodes::Sums>;
  table.f32_peak = f32_peak<6>;
  table.bf16_peak = f32_peak<6>;
  table.read_bytes = read_bytes;
}

}  // namespace bitcpm::kernels
