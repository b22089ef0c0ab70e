#include "kernels/avx512vnni/decoded_bytes.h"
// After decoded_bytes.h, on which they are written.
#include "kernels/avx512vnni/tiles.h"
#include "kernels/shared/decoded_linear.h"

#include "kernels/shared/peak.h"

namespace bitcpm::kernels {

void install_avx512vnni(KernelTable& table) {
  table.isa = "avx512vnni";
  table.few_tokens = 3;
  install_kernels<Tiles>(table);
  install_decoded<Tiles>(table);
  table.int8_instruction = "vpdpbusd";
  table.int8_peak = int8_peak<12>;
  table.f32_peak = f32_peak<12>;
  table.bf16_peak = f32_peak<12>;
  table.read_bytes = read_bytes;
}

}  // namespace bitcpm::kernels
