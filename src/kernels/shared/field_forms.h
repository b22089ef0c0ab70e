#pragma once

#include "kernels/shared/ahead.h"
#include "kernels/table.h"

// The forms of field-packed weights, written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::Int8Fields;
using bitcpm::kernels::kFieldRows;
using bitcpm::kernels::kInt8WeightZero;
using bitcpm::kernels::kScreenZero;
using bitcpm::kernels::TernaryFields;

// What the zero 2^Bits of the weights adds to a sum of products: nothing if weight_bytes took it
// off.
template <int Bits>
inline I16x zero_times(I16x minus_sum) {
  if constexpr ((1 << Bits) > kMostZeroKept) return I16x{};
  return shift_left<Bits>(minus_sum);
}

// A form says how bytes become the weights of one field:
//   Lines    the lines of one panel from some k on; next() moves on by four in-features
//   field    field f of the current lines as unsigned bytes
//   offset   what the zero of the weights adds to a sum of products, from minus the sum of the
//   codes unscale  what a field's sums are multiplied by
struct TernaryForm {
  using Weights = TernaryFields;
  struct Lines {
    const uint8_t* line;
    Lines(const TernaryFields& w, size_t panel, size_t k)
        : line(w.lines + (panel * w.cols + k) / 4 * kFieldRows) {}
    void next() { line += kFieldRows; }
    void ask_ahead() const { ::ask_ahead(line); }
  };
  static constexpr float unscale(size_t field) { return 1.0f / static_cast<float>(1 << 2 * field); }
  static I16x offset(size_t field, I16x minus_sum) {
    return field == 0   ? minus_sum
           : field == 1 ? zero_times<2>(minus_sum)
           : field == 2 ? zero_times<4>(minus_sum)
                        : zero_times<6>(minus_sum);
  }
  static Bytes field(const Lines& at, size_t f) {
    return weight_bytes(mask_bytes(load_bytes(at.line), 0x03030303u << 2 * f), 1 << 2 * f);
  }
  static I16x dot(I16x sum, Bytes u, Bytes s) { return dot4_small(sum, u, s); }
};

static_assert(kInt8WeightZero == 1 << 7, "Int8Form::offset");
struct Int8Form {
  using Weights = Int8Fields;
  struct Lines {
    const uint8_t* high;
    const uint8_t* low;
    Lines(const Int8Fields& w, size_t panel, size_t k)
        : high(w.high + (panel * w.cols + k) / 4 * 2 * kFieldRows),
          low(w.low + (panel * w.cols + k) / 4 * 2 * kFieldRows) {}
    void next() {
      high += 2 * kFieldRows;
      low += 2 * kFieldRows;
    }
    void ask_ahead() const {
      for (size_t b = 0; b < 2 * kFieldRows; b += kFieldRows) {
        ::ask_ahead(high + b);
        ::ask_ahead(low + b);
      }
    }
  };
  static constexpr float unscale(size_t) { return 1.0f; }
  static I16x offset(size_t, I16x minus_sum) { return zero_times<7>(minus_sum); }
  static Bytes field(const Lines& at, size_t f) {
    const Bytes high = load_bytes(at.high + f / 2 * kFieldRows);
    const Bytes low = load_bytes(at.low + f / 2 * kFieldRows);
    const Bytes both = f % 2 == 1 ? select_bits(0xf0f0f0f0u, high, low)
                                  : select_bits(0xf0f0f0f0u, up_nibble(high), shift_right<4>(low));
    return weight_bytes(both, kInt8WeightZero);
  }
  static I16x dot(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }
};

// The same weights with every lower nibble taken for 8: half the bytes, an error of at most 8.
static_assert(kScreenZero == (1 << 7) - (1 << 3), "ScreenForm::offset");
struct ScreenForm {
  using Weights = Int8Fields;
  struct Lines {
    const uint8_t* high;
    Lines(const Int8Fields& w, size_t panel, size_t k)
        : high(w.high + (panel * w.cols + k) / 4 * 2 * kFieldRows) {}
    void next() { high += 2 * kFieldRows; }
    void ask_ahead() const {
      ::ask_ahead(high);
      ::ask_ahead(high + kFieldRows);
    }
  };
  static constexpr float unscale(size_t) { return 1.0f; }
  static I16x offset(size_t, I16x minus_sum) {
    if constexpr (kScreenZero > kMostZeroKept) return I16x{};
    return subtract(shift_left<7>(minus_sum), shift_left<3>(minus_sum));
  }
  static Bytes field(const Lines& at, size_t f) {
    const Bytes high = load_bytes(at.high + f / 2 * kFieldRows);
    return weight_bytes(mask_bytes(f % 2 == 1 ? high : up_nibble(high), 0xf0f0f0f0u), kScreenZero);
  }
  static I16x dot(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }
};

}  // namespace
