#pragma once

#include <stddef.h>
#include <stdint.h>

// Sixteen f32 lanes in plain C++: the definition that the other levels' vec16.h must equal bit for
// bit. Everything has internal linkage (see check_symbols.sh).
namespace {

// Lane-wise operators on these are plain IEEE arithmetic, one lane at a time; the compiler may use
// whatever vectors the baseline CPU has.
typedef float Lanes __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

struct F16x {
  Lanes lane;
};
struct U16x {
  Words lane;
};

template <class Op>
inline F16x map(Op op) {
  F16x out;
  for (int i = 0; i < 16; ++i) out.lane[i] = op(i);
  return out;
}

inline float bits_to_float(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline uint32_t float_to_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

// How many vectors are best taken side by side where chains of operations are long: see each() of
// shared/elementwise.h.
constexpr size_t kSideBySide = 1;

inline F16x set1(float v) {
  return map([&](int) { return v; });
}
inline F16x load(const float* p) {
  F16x out;
  __builtin_memcpy(&out.lane, p, sizeof(out.lane));
  return out;
}
inline void store(float* p, F16x v) { __builtin_memcpy(p, &v.lane, sizeof(v.lane)); }
inline F16x add(F16x a, F16x b) { return {a.lane + b.lane}; }
inline F16x sub(F16x a, F16x b) { return {a.lane - b.lane}; }
inline F16x mul(F16x a, F16x b) { return {a.lane * b.lane}; }
inline F16x div(F16x a, F16x b) { return {a.lane / b.lane}; }
inline F16x fma(F16x a, F16x b, F16x c) {
  return map([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
inline F16x max(F16x a, F16x b) {  // b where either is NaN, as vmaxps
  return map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline F16x min(F16x a, F16x b) {
  return map([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
// Lanes below `count` from v, the others `rest`.
inline F16x keep_first(F16x v, size_t count, float rest) {
  return map([&](int i) { return static_cast<size_t>(i) < count ? v.lane[i] : rest; });
}

// v where a >= b, else 0; sum + v there, else sum (which is not -0); the lanes where a >= b as
// bits. A NaN is not.
inline F16x keep_at_least(F16x v, F16x a, F16x b) {
  return map([&](int i) { return a.lane[i] >= b.lane[i] ? v.lane[i] : 0.0f; });
}
inline F16x add_at_least(F16x sum, F16x v, F16x a, F16x b) {
  return add(sum, keep_at_least(v, a, b));
}
inline uint32_t lanes_at_least(F16x a, F16x b) {
  uint32_t lanes = 0;
  for (int i = 0; i < 16; ++i) lanes |= (a.lane[i] >= b.lane[i] ? 1u : 0u) << i;
  return lanes;
}

inline U16x load_words(const uint32_t* p) {
  U16x out;
  __builtin_memcpy(&out.lane, p, sizeof(out.lane));
  return out;
}
inline F16x bf16_low(U16x words) { return {(Lanes)(words.lane << 16)}; }
inline F16x bf16_high(U16x words) { return {(Lanes)(words.lane & 0xffff0000u)}; }
inline F16x load_bf16(const uint16_t* p) {
  return map([&](int i) { return bits_to_float(static_cast<uint32_t>(p[i]) << 16); });
}
// The nearest bf16, ties to even; a NaN becomes a quiet one.
inline void store_bf16(uint16_t* p, F16x v) {
  for (int i = 0; i < 16; ++i) {
    const uint32_t bits = float_to_bits(v.lane[i]);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    p[i] =
        static_cast<uint16_t>((nan ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
  }
}

inline F16x load_int8(const int8_t* p) {
  return map([&](int i) { return static_cast<float>(p[i]); });
}

// The float whose exponent field is the integer in the low 9 bits of v, plus 127: 2^n for the
// v = n + 1.5 * 2^23 of exp16.
inline F16x pow2_of_magic(F16x v) {
  return map([&](int i) { return bits_to_float((float_to_bits(v.lane[i]) << 23) + 0x3f800000u); });
}

// Halves onto halves: 16 to 8 to 4 to 2 to 1.
inline float reduce_add(F16x v) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) v.lane[i] = v.lane[i] + v.lane[i + width];
  }
  return v.lane[0];
}
inline float reduce_max(F16x v) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      v.lane[i] = v.lane[i] > v.lane[i + width] ? v.lane[i] : v.lane[i + width];
    }
  }
  return v.lane[0];
}

// Into the first or second-level cache; GCC 12 may leave these out, which does not matter here.
inline void prefetch(const void* p) { __builtin_prefetch(p); }
inline void prefetch_second(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
