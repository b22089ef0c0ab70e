#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/buffer.h"

namespace bitcpm {

// How a matrix keeps its weights. All three are lossless against the checkpoint.
enum class WeightForm : std::uint8_t {
  kTernary,  // 2-bit codes and one bf16 scale per group of in-features
  kBf16,
  kF32,  // only where bf16 could not hold the stored values
};

constexpr std::string_view weight_form_name(WeightForm form) {
  switch (form) {
    case WeightForm::kTernary:
      return "ternary";
    case WeightForm::kBf16:
      return "bf16";
    case WeightForm::kF32:
      return "f32";
  }
  return "?";
}

// One weight matrix in the canonical, CPU-independent layout; kernels repack it (Backend::prepare).
//   kTernary  codes  [rows, cols / 4] bytes: element k of a row is bits 2(k % 4) .. +1 of byte k /
//   4,
//                    code c = w + 1 in {0, 1, 2}
//             scales [rows, cols / group] bf16; weight = (c - 1) * scale
//   kBf16     codes  [rows, cols] bf16, scales empty
//   kF32      codes  [rows, cols] f32, scales empty
struct QuantizedMatrix {
  WeightForm form = WeightForm::kBf16;
  std::int64_t rows = 0;   // out-features
  std::int64_t cols = 0;   // in-features
  std::int64_t group = 0;  // kTernary: in-features per scale, cols if one per row; else 0
  Buffer codes;
  Buffer scales;

  std::size_t bytes() const { return codes.size() + scales.size(); }
};

}  // namespace bitcpm
