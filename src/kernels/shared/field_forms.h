#pragma once

#include "kernels/shared/ahead.h"
#include "kernels/table.h"

// The forms of field-packed weights, written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::Int8Fields;
using bitcpm::kernels::kFieldRows;
using bitcpm::kernels::kScreenLow;
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
//   field    field f of the current lines as bytes that dot4() takes
//   offset   what the zero of the weights adds to a sum of products, from minus the sum of the
//            codes
//   unscale  what a field's sums are multiplied by
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

// Lines of the upper bits of 8-bit weights.
struct HighLines {
  const uint8_t* high01;
  const uint8_t* high2;
  HighLines(const Int8Fields& w, size_t panel, size_t k)
      : high01(w.high01 + (panel * w.cols + k) / 4 * 2 * kFieldRows),
        high2(w.high2 + (panel * w.cols + k) / 4 * kFieldRows) {}
  void next() {
    high01 += 2 * kFieldRows;
    high2 += kFieldRows;
  }
  void ask_ahead() const {
    ::ask_ahead(high01);
    ::ask_ahead(high01 + kFieldRows);
    ::ask_ahead(high2);
  }
  Bytes line(size_t i) const { return load_bytes(i < 2 ? high01 + i * kFieldRows : high2); }

  // Field f with bits 0-1 from `low`, where they are to be as in a line of Int8Fields::low.
  Bytes with_low(size_t f, Bytes low) const {
    switch (f) {
      case 0:
        return select_bits(0xfcfcfcfcu, line(0), shift_right<2>(low));
      case 1:
        return select_bits(0xfcfcfcfcu, line(1), shift_right<4>(low));
      case 2:
        return select_bits(0xfcfcfcfcu, line(2), shift_right<6>(low));
      default:
        return select_bits(0x03030303u, low, last_field());
    }
  }

 private:
  // Bits 2-7 of field 3; bits 0-1 are arbitrary.
  Bytes last_field() const {
    const Bytes lower = select_bits(0x30303030u, shift_up<4>(line(1)), shift_up<2>(line(2)));
    return select_bits(0xc0c0c0c0u, shift_up<6>(line(0)), lower);
  }
};

// Weights of 8 bits as dot4() takes them: a level that multiplies unsigned bytes adds a zero of
// 128.
inline Bytes int8_bytes(Bytes weights) {
  if constexpr (kMostZeroKept < 1 << 7) return weights;
  return flip_bits(weights, 0x80808080u);
}

// Both forms of 8-bit weights; At says what they are.
template <class At>
struct BytesForm {
  using Weights = Int8Fields;
  using Lines = At;
  static constexpr float unscale(size_t) { return 1.0f; }
  static I16x offset(size_t, I16x minus_sum) { return zero_times<7>(minus_sum); }
  static Bytes field(const Lines& at, size_t f) { return int8_bytes(at.weights(f)); }
  static I16x dot(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }
};

struct Int8Lines : HighLines {
  const uint8_t* low;
  Int8Lines(const Int8Fields& w, size_t panel, size_t k)
      : HighLines(w, panel, k), low(w.low + (panel * w.cols + k) / 4 * kFieldRows) {}
  void next() {
    HighLines::next();
    low += kFieldRows;
  }
  void ask_ahead() const {
    HighLines::ask_ahead();
    ::ask_ahead(low);
  }
  Bytes weights(size_t f) const { return with_low(f, load_bytes(low)); }
};
using Int8Form = BytesForm<Int8Lines>;

// The same weights with the lower two bits of each taken for 2: three quarters of the bytes, an
// error of at most 2.
struct ScreenLines : HighLines {
  using HighLines::HighLines;
  Bytes weights(size_t f) const {
    constexpr uint32_t kLow = kScreenLow * 0x55555555u;
    return with_low(f, load_quad(&kLow));
  }
};
using ScreenForm = BytesForm<ScreenLines>;

}  // namespace
