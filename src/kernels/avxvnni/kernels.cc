#include "kernels/avxvnni/decoded_bytes.h"
// After decoded_bytes.h, on which they are written.
#include "kernels/shared/decoded_linear.h"

#include "kernels/shared/peak.h"

namespace {

// A lone token takes four fields: with the two sums of one, which do not hide the latency of an
// instruction, 8-bit weights took twice as long.
struct Tiles {
  static constexpr size_t kFieldsAtOnce = 4, kTokens = 1, kLone = 4;
  static constexpr size_t kLeastDecoded = 2;
};

}  // namespace

namespace bitcpm::kernels {

// Everything else is as in avx2.
void install_avxvnni(KernelTable& table) {
  table.isa = "avxvnni";
  table.few_tokens = 1;
  install_decoded<Tiles>(table);
  table.int8_instruction = "vpdpbusd";
  table.int8_peak = int8_peak<4>;
}

}  // namespace bitcpm::kernels
