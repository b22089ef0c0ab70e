#include "kernels/avx512vnni/dot16.h"
// After dot16.h, on which they are written.
#include "kernels/avx512vnni/tiles.h"

#include "kernels/amx/tile_attention.h"
#include "kernels/amx/tile_bf16.h"
#include "kernels/amx/tile_linear.h"

namespace {

using bitcpm::kernels::kF32PeakMacs;
using bitcpm::kernels::kInt8PeakMacs;

// With fewer tokens vectors are faster (docs/adr/0038).
constexpr size_t kLeastTokens = 4;

void any_ternary(const TernaryFields& w, size_t first, size_t last, const QuantizedIo& io) {
  if (io.tokens < kLeastTokens) return few_ternary<Tiles>(w, first, last, io);
  if (io.x.form == ActForm::kInt16) {
    return tile_linear<ActForm::kInt16, TernaryForm>(w, first, last, io);
  }
  tile_linear<ActForm::kInt8, TernaryForm>(w, first, last, io);
}

// Form: Int8Form or ScreenForm.
template <class Form>
void any_bytes(const Int8Fields& w, size_t first, size_t last, const QuantizedIo& io) {
  if (io.tokens < kLeastTokens) return few_bytes<Form, Tiles>(w, first, last, io);
  tile_linear<ActForm::kInt8, Form>(w, first, last, io);
}

// Operands whose bits are mixed, bf16 near 1 and -1: on zeros a core draws less power and runs
// faster than on any real ones.
struct MixedTile {
  alignas(64) uint16_t elements[kTileRows * kTileRowBytes / 2];

  constexpr MixedTile() : elements() {
    uint32_t state = 1;
    for (uint16_t& element : elements) {
      state = state * 1664525 + 1013904223;  // Numerical Recipes' generator
      element = static_cast<uint16_t>(0x3f00 | (state >> 16 & 0x80ff));
    }
  }
};
constexpr MixedTile kMixedTile;

// Full tiles, two sums, so that neither waits for the other. dots() issues two products.
template <class Dots>
inline void peak_of_tiles(size_t pairs, const Dots& dots) {
  TileConfig config;
  for (size_t tile = 0; tile < 4; ++tile) config.set(tile, kTileRows, kTileRowBytes);
  configure_tiles(config);
  tile_load<0>(kMixedTile.elements, kTileRowBytes);
  tile_load<1>(kMixedTile.elements, kTileRowBytes);
  tile_zero<2>();
  tile_zero<3>();
  for (size_t i = 0; i < pairs; ++i) dots();
  release_tiles();
}

void int8_peak_of_tiles(size_t rounds) {
  constexpr size_t kTileMacs = kTileRows * 16 * kTileRowBytes;
  peak_of_tiles(rounds * kInt8PeakMacs / kTileMacs / 2, [] {
    tile_dot<2, 0, 1>();
    tile_dot<3, 0, 1>();
  });
}

void bf16_peak_of_tiles(size_t rounds) {
  constexpr size_t kTileMacs = kTileRows * 16 * kTileRowBytes / 2;
  peak_of_tiles(rounds * kF32PeakMacs / kTileMacs / 2, [] {
    tile_dot_bf16<2, 0, 1>();
    tile_dot_bf16<3, 0, 1>();
  });
}

}  // namespace

namespace bitcpm::kernels {

// Everything else is as in avx512vnni.
void install_amx(KernelTable& table) {
  table.isa = "amx";
  table.ternary_fields = any_ternary;
  table.int8_fields = any_bytes<Int8Form>;
  table.screen_fields = any_bytes<ScreenForm>;
  table.bf16_products = tile_bf16_products;
  table.attention[static_cast<size_t>(KvType::kBfloat16)] = tile_attention;
  table.bf16_peak = bf16_peak_of_tiles;
  table.int8_instruction = "tdpbssd";
  table.int8_peak = int8_peak_of_tiles;
}

}  // namespace bitcpm::kernels
