#pragma once

#include "kernels/neon/vec16.h"

// Integers and bytes over sixteen 32-bit lanes, all of scalar/dot16.h but the dot products and how
// they take weights, which the levels over this one do better. Same operations and bits as there.
namespace {

struct I16x {
  int32x4_t q[4];
};
struct Bytes {
  uint8x16_t q[4];
};

inline I16x load_int(const int32_t* p) {
  const int32x4_t q = vld1q_dup_s32(p);
  return {{q, q, q, q}};
}
template <int Bits>
inline I16x shift_left(I16x v) {
  return quarters<I16x>([&](int i) { return vshlq_n_s32(v.q[i], Bits); });
}
inline F16x to_float(I16x v) {
  return quarters<F16x>([&](int i) { return vcvtq_f32_s32(v.q[i]); });
}

inline Bytes load_bytes(const uint8_t* p) {
  return quarters<Bytes>([&](int i) { return vld1q_u8(p + 16 * i); });
}
inline Bytes mask_bytes(Bytes b, uint32_t mask) {
  const uint8x16_t m = vreinterpretq_u8_u32(vdupq_n_u32(mask));
  return quarters<Bytes>([&](int i) { return vandq_u8(b.q[i], m); });
}
inline Bytes select_bits(uint32_t mask, Bytes ones, Bytes zeros) {
  const uint8x16_t m = vreinterpretq_u8_u32(vdupq_n_u32(mask));
  return quarters<Bytes>([&](int i) { return vbslq_u8(m, ones.q[i], zeros.q[i]); });
}
inline Bytes flip_bits(Bytes b, uint32_t mask) {
  const uint8x16_t m = vreinterpretq_u8_u32(vdupq_n_u32(mask));
  return quarters<Bytes>([&](int i) { return veorq_u8(b.q[i], m); });
}
template <int Bits>
inline Bytes shift_up(Bytes b) {
  return quarters<Bytes>([&](int i) { return vshlq_n_u8(b.q[i], Bits); });
}
template <int Bits>
inline Bytes shift_right(Bytes b) {
  return quarters<Bytes>([&](int i) { return vshrq_n_u8(b.q[i], Bits); });
}
inline I16x add(I16x a, I16x b) {
  return quarters<I16x>([&](int i) { return vaddq_s32(a.q[i], b.q[i]); });
}
inline I16x subtract(I16x a, I16x b) {
  return quarters<I16x>([&](int i) { return vsubq_s32(a.q[i], b.q[i]); });
}
inline Bytes load_quad(const void* p) {
  uint32_t quad;
  __builtin_memcpy(&quad, p, 4);
  const uint8x16_t q = vreinterpretq_u8_u32(vdupq_n_u32(quad));
  return {{q, q, q, q}};
}

inline F16x store_rounded(int8_t* p, F16x v) {
  const I16x rounded = quarters<I16x>([&](int i) { return vcvtnq_s32_f32(v.q[i]); });
  const int16x8_t lo = vcombine_s16(vmovn_s32(rounded.q[0]), vmovn_s32(rounded.q[1]));
  const int16x8_t hi = vcombine_s16(vmovn_s32(rounded.q[2]), vmovn_s32(rounded.q[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
  return to_float(rounded);
}
inline float32x4_t larger4(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
}
inline F16x larger(F16x a, F16x b) {
  return quarters<F16x>([&](int i) { return larger4(a.q[i], b.q[i]); });
}
inline F16x smaller(F16x a, F16x b) {
  return quarters<F16x>([&](int i) {
    return vreinterpretq_f32_s32(
        vminq_s32(vreinterpretq_s32_f32(a.q[i]), vreinterpretq_s32_f32(b.q[i])));
  });
}
inline F16x max_of_quads(F16x a, F16x b, F16x c, F16x d) {
  return quarters<F16x>([&](int i) {
    const float32x4_t ab = larger4(vzip1q_f32(a.q[i], b.q[i]), vzip2q_f32(a.q[i], b.q[i]));
    const float32x4_t cd = larger4(vzip1q_f32(c.q[i], d.q[i]), vzip2q_f32(c.q[i], d.q[i]));
    return larger4(vcombine_f32(vget_low_f32(ab), vget_low_f32(cd)),
                   vcombine_f32(vget_high_f32(ab), vget_high_f32(cd)));
  });
}
inline void transpose(F16x (&v)[16]) {
  F16x out[16];
  for (int i = 0; i < 4; ++i) {    // lanes 4 i to 4 i + 3 of the result
    for (int q = 0; q < 4; ++q) {  // of v
      const float32x4x2_t even = vzipq_f32(v[4 * i].q[q], v[4 * i + 2].q[q]);
      const float32x4x2_t odd = vzipq_f32(v[4 * i + 1].q[q], v[4 * i + 3].q[q]);
      const float32x4x2_t low = vzipq_f32(even.val[0], odd.val[0]);
      const float32x4x2_t high = vzipq_f32(even.val[1], odd.val[1]);
      out[4 * q].q[i] = low.val[0];
      out[4 * q + 1].q[i] = low.val[1];
      out[4 * q + 2].q[i] = high.val[0];
      out[4 * q + 3].q[i] = high.val[1];
    }
  }
  for (int i = 0; i < 16; ++i) v[i] = out[i];
}
inline void opaque(I16x& v) {
  asm volatile("" : "+w"(v.q[0]), "+w"(v.q[1]), "+w"(v.q[2]), "+w"(v.q[3]));
}
inline void opaque(Bytes& v) {
  asm volatile("" : "+w"(v.q[0]), "+w"(v.q[1]), "+w"(v.q[2]), "+w"(v.q[3]));
}
inline void opaque(F16x& v) {
  asm volatile("" : "+w"(v.q[0]), "+w"(v.q[1]), "+w"(v.q[2]), "+w"(v.q[3]));
}
inline F16x abs(F16x v) {
  return quarters<F16x>([&](int i) { return vabsq_f32(v.q[i]); });
}

}  // namespace
