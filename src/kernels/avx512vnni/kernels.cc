#include "kernels/avx512vnni/dot16.h"
// After dot16.h, on which they are written.
#include "kernels/avx512vnni/products.h"

#include "kernels/avx512vnni/decoded_tile.h"

#include "kernels/shared/peak.h"

namespace {

// From how many tokens on it pays to decode a weight apart from its first product.
constexpr size_t kLeastDecoded = 12;

void any_ternary(const TernaryFields& w, size_t first, size_t last, const QuantizedIo& io) {
  // Two whole planes gain nothing by it.
  if (io.tokens < kLeastDecoded || io.x.form == ActForm::kInt16) {
    return few_ternary(w, first, last, io);
  }
  decoded_linear(w, first, last, io);
}

void any_int8(const Int8Fields& w, size_t first, size_t last, const QuantizedIo& io) {
  if (io.tokens < kLeastDecoded) return few_int8(w, first, last, io);
  decoded_linear(w, first, last, io);
}

}  // namespace

namespace bitcpm::kernels {

void install_avx512vnni(KernelTable& table) {
  table.isa = "avx512vnni";
  install_kernels<Tiles>(table);
  table.ternary_fields = any_ternary;
  table.int8_fields = any_int8;
  table.int8_instruction = "vpdpbusd";
  table.int8_peak = int8_peak<12>;
  table.f32_peak = f32_peak<12>;
  table.bf16_peak = f32_peak<12>;
  table.read_bytes = read_bytes;
}

}  // namespace bitcpm::kernels
