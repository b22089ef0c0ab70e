#pragma once

#include "kernels/scalar/vec16.h"

// Integer dot products over sixteen 32-bit lanes in plain C++: the definition that the other
// levels' dot16.h must equal bit for bit.
namespace {

struct I16x {
  Ints lane;
};
struct Bytes {  // 64 bytes; lane i holds bytes 4 i to 4 i + 3
  Words lane;
};

// The same integer in every lane.
inline I16x load_int(const int32_t* p) { return {Ints{} + *p}; }
template <int Bits>
inline I16x shift_left(I16x v) {
  return {(Ints)((Words)v.lane << Bits)};
}
inline F16x to_float(I16x v) { return {__builtin_convertvector(v.lane, Lanes)}; }

inline Bytes load_bytes(const uint8_t* p) {
  Bytes out;
  __builtin_memcpy(&out.lane, p, sizeof(out.lane));
  return out;
}
inline Bytes mask_bytes(Bytes b, uint32_t mask) { return {b.lane & mask}; }

// Bits of `ones` where mask has a 1, of `zeros` elsewhere.
inline Bytes select_bits(uint32_t mask, Bytes ones, Bytes zeros) {
  return {(ones.lane & mask) | (zeros.lane & ~mask)};
}
// Bits of b where mask has a 0, their opposites elsewhere.
inline Bytes flip_bits(Bytes b, uint32_t mask) { return {b.lane ^ mask}; }
// The bits of each byte moved up, and down: what was not in the byte before is arbitrary.
template <int Bits>
inline Bytes shift_up(Bytes b) {
  return {b.lane << Bits};
}
template <int Bits>
inline Bytes shift_right(Bytes b) {
  return {b.lane >> Bits};
}
inline I16x add(I16x a, I16x b) { return {a.lane + b.lane}; }
inline I16x subtract(I16x a, I16x b) { return {a.lane - b.lane}; }

// A byte of weights b stands for b - zero, and is at most 2 * zero. weight_bytes
// gives what to multiply: a level whose dot products take signed bytes subtracts a zero that would
// not let them fit, one above kMostZeroKept. Here all are unsigned.
constexpr int kMostZeroKept = 128;
inline Bytes weight_bytes(Bytes b, int32_t) { return b; }

// The same four signed bytes in every lane.
inline Bytes load_quad(const void* p) {
  uint32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return {Words{} + quad};
}

// sum + the four products of bytes of u, weights as a form gives them, with signed bytes of s above
// -128, lane by lane.
inline I16x dot4(I16x sum, Bytes u, Bytes s) {
  for (int j = 0; j < 4; ++j) {
    const Ints weight = (Ints)((u.lane >> (8 * j)) & 0xffu);
    const Ints value = (Ints)(s.lane << (24 - 8 * j)) >> 24;
    sum.lane += weight * value;
  }
  return sum;
}
// The same where no byte of u was above 128.
inline I16x dot4_small(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }

// Rounds to integers (ties to even), stores them as bytes and returns them. |v| < 127.5.
inline F16x store_rounded(int8_t* p, F16x v) {
  const F16x magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const F16x rounded = sub(add(v, magic), magic);
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(rounded.lane[i]);
  return rounded;
}
// The larger and the smaller of values that are not negative; a NaN is larger than infinity.
inline F16x larger(F16x a, F16x b) {
  return map([&](int i) {
    return float_to_bits(a.lane[i]) > float_to_bits(b.lane[i]) ? a.lane[i] : b.lane[i];
  });
}
inline F16x smaller(F16x a, F16x b) {
  return map([&](int i) {
    return float_to_bits(a.lane[i]) < float_to_bits(b.lane[i]) ? a.lane[i] : b.lane[i];
  });
}
// Lane 4 j + v: the largest in quad j of vector v, by larger().
inline F16x max_of_quads(F16x a, F16x b, F16x c, F16x d) {
  const F16x* const from[] = {&a, &b, &c, &d};
  return map([&](int i) {
    uint32_t most = 0;
    for (int j = 0; j < 4; ++j) {
      const uint32_t bits = float_to_bits(from[i % 4]->lane[i / 4 * 4 + j]);
      most = bits > most ? bits : most;
    }
    return bits_to_float(most);
  });
}
// Lane j of vector i becomes lane i of vector j.
inline void transpose(F16x (&v)[16]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      const float upper = v[j].lane[i];
      v[j].lane[i] = v[i].lane[j];
      v[i].lane[j] = upper;
    }
  }
}
inline F16x abs(F16x v) { return {(Lanes)((Words)v.lane & 0x7fffffffu)}; }

}  // namespace
