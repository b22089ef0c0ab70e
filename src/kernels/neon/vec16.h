#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

// Sixteen f32 lanes as four 128-bit registers. Same operations and bits as scalar/vec16.h.
namespace {

struct F16x {
  float32x4_t q[4];
};
struct U16x {
  uint32x4_t q[4];
};

// A vector whose quarter i is op(i).
template <class Vector, class Op>
inline Vector quarters(Op op) {
  return {{op(0), op(1), op(2), op(3)}};
}

// How many vectors are best taken side by side where chains of operations are long: see each() of
// shared/elementwise.h.
constexpr size_t kSideBySide = 1;

inline F16x set1(float v) {
  const float32x4_t q = vdupq_n_f32(v);
  return {{q, q, q, q}};
}
inline F16x load(const float* p) {
  return quarters<F16x>([&](int i) { return vld1q_f32(p + 4 * i); });
}
inline void store(float* p, F16x v) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v.q[i]);
}
inline F16x add(F16x a, F16x b) {
  return quarters<F16x>([&](int i) { return vaddq_f32(a.q[i], b.q[i]); });
}
inline F16x sub(F16x a, F16x b) {
  return quarters<F16x>([&](int i) { return vsubq_f32(a.q[i], b.q[i]); });
}
inline F16x mul(F16x a, F16x b) {
  return quarters<F16x>([&](int i) { return vmulq_f32(a.q[i], b.q[i]); });
}
inline F16x div(F16x a, F16x b) {
  return quarters<F16x>([&](int i) { return vdivq_f32(a.q[i], b.q[i]); });
}
inline F16x fma(F16x a, F16x b, F16x c) {
  return quarters<F16x>([&](int i) { return vfmaq_f32(c.q[i], a.q[i], b.q[i]); });
}

// Not vmaxq_f32, which treats NaN and the sign of zero differently.
inline float32x4_t max4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline F16x max(F16x a, F16x b) {
  return quarters<F16x>([&](int i) { return max4(a.q[i], b.q[i]); });
}
inline F16x min(F16x a, F16x b) {
  return quarters<F16x>(
      [&](int i) { return vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]); });
}
inline F16x keep_first(F16x v, size_t count, float rest) {
  const uint32x4_t n = vdupq_n_u32(static_cast<uint32_t>(count < 16 ? count : 16));
  const uint32x4_t lanes = {0, 1, 2, 3};
  const float32x4_t r = vdupq_n_f32(rest);
  return quarters<F16x>([&](int i) {
    const uint32x4_t lane = vaddq_u32(lanes, vdupq_n_u32(static_cast<uint32_t>(4 * i)));
    return vbslq_f32(vcltq_u32(lane, n), v.q[i], r);
  });
}

inline F16x keep_at_least(F16x v, F16x a, F16x b) {
  return quarters<F16x>([&](int i) {
    return vreinterpretq_f32_u32(
        vandq_u32(vreinterpretq_u32_f32(v.q[i]), vcgeq_f32(a.q[i], b.q[i])));
  });
}
inline F16x add_at_least(F16x sum, F16x v, F16x a, F16x b) {
  return add(sum, keep_at_least(v, a, b));
}
inline uint32_t lanes_at_least(F16x a, F16x b) {
  const uint32x4_t bits = {1, 2, 4, 8};
  uint32_t lanes = 0;
  for (int i = 0; i < 4; ++i) {
    lanes |= vaddvq_u32(vandq_u32(vcgeq_f32(a.q[i], b.q[i]), bits)) << (4 * i);
  }
  return lanes;
}

inline U16x load_words(const uint32_t* p) {
  return quarters<U16x>([&](int i) { return vld1q_u32(p + 4 * i); });
}
inline F16x bf16_low(U16x words) {
  return quarters<F16x>([&](int i) { return vreinterpretq_f32_u32(vshlq_n_u32(words.q[i], 16)); });
}
inline F16x bf16_high(U16x words) {
  const uint32x4_t mask = vdupq_n_u32(0xffff0000u);
  return quarters<F16x>([&](int i) { return vreinterpretq_f32_u32(vandq_u32(words.q[i], mask)); });
}
inline F16x load_bf16(const uint16_t* p) {
  return quarters<F16x>(
      [&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
inline void store_bf16(uint16_t* p, F16x v) {
  for (int i = 0; i < 4; ++i) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v.q[i]);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t near = vaddq_u32(vaddq_u32(bits, odd), vdupq_n_u32(0x7fff));
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    const uint32x4_t wide = vbslq_u32(vceqq_f32(v.q[i], v.q[i]), near, quiet);
    vst1_u16(p + 4 * i, vshrn_n_u32(wide, 16));
  }
}

inline F16x load_int8(const int8_t* p) {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t lo = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t hi = vmovl_s8(vget_high_s8(bytes));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi)))}};
}

inline F16x pow2_of_magic(F16x v) {
  const uint32x4_t one = vdupq_n_u32(0x3f800000u);
  return quarters<F16x>([&](int i) {
    const uint32x4_t shifted = vshlq_n_u32(vreinterpretq_u32_f32(v.q[i]), 23);
    return vreinterpretq_f32_u32(vaddq_u32(shifted, one));
  });
}

inline float reduce_add(F16x v) {
  const float32x4_t four = vaddq_f32(vaddq_f32(v.q[0], v.q[2]), vaddq_f32(v.q[1], v.q[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float reduce_max(F16x v) {
  const float32x4_t four = max4(max4(v.q[0], v.q[2]), max4(v.q[1], v.q[3]));
  const float32x4_t two = max4(four, vextq_f32(four, four, 2));
  return vgetq_lane_f32(max4(two, vextq_f32(two, two, 1)), 0);
}

// Into the first or second-level cache; in assembler, which GCC 12 does not leave out
// (docs/adr/0038).
inline void prefetch(const void* p) { asm volatile("prfm pldl1keep, [%0]" ::"r"(p)); }
inline void prefetch_second(const void* p) { asm volatile("prfm pldl2keep, [%0]" ::"r"(p)); }

}  // namespace
