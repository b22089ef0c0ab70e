#pragma once

// Which quads of a group of activations may exceed the range of a byte, and what range the others
// set. Written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::kQuadEvery;

// A group of 16 V values in V vectors, V = 2, 4 or 8.
template <size_t V>
struct ActGroup {
  static constexpr size_t kSize = 16 * V;
  static constexpr int kQuads = kSize / kQuadEvery;  // that may exceed the range
  F16x x[V];

  explicit ActGroup(const float* values) {
#pragma GCC unroll 8
    for (size_t v = 0; v < V; ++v) x[v] = load(values + 16 * v);
  }
};

// The largest magnitude in each quad of a group: quad j of vector 4 h + v is lane 4 j + v of
// most[h]. 0 where there is no such vector.
struct QuadMaxima {
  F16x most[2];

  float largest() const { return reduce_max(max(most[0], most[1])); }
  float largest_within(float limit) const {
    const F16x l = set1(limit);
    return reduce_max(max(keep_at_least(most[0], l, most[0]), keep_at_least(most[1], l, most[1])));
  }
  // Bit 16 h + lane; a NaN is above everything.
  uint32_t above(float limit) const {
    const F16x l = set1(limit);
    return ~(lanes_at_least(l, most[0]) | lanes_at_least(l, most[1]) << 16);
  }
};

template <size_t V>
inline QuadMaxima quad_maxima(const ActGroup<V>& group) {
  F16x magnitude[8];
#pragma GCC unroll 8
  for (size_t v = 0; v < 8; ++v) magnitude[v] = v < V ? abs(group.x[v]) : set1(0);
  return {{max_of_quads(magnitude[0], magnitude[1], magnitude[2], magnitude[3]),
           max_of_quads(magnitude[4], magnitude[5], magnitude[6], magnitude[7])}};
}

// What the largest code stands for where some quads may exceed it twofold: half of the largest
// magnitude, or else, after three steps of bisection, the largest one below those that may.
inline float range_sparing(const QuadMaxima& quads, float largest, int spared) {
  const auto few_above = [&](float limit) {
    return __builtin_popcount(quads.above(limit)) <= spared;
  };
  const float half = 0.5f * largest;
  const bool half_is_enough = few_above(half);
  float low = half;
  float high = largest;
#pragma GCC unroll 3
  for (int step = 0; step < 3; ++step) {
    const float middle = 0.5f * (low + high);
    const bool enough = few_above(middle);
    high = enough ? middle : high;
    low = enough ? low : middle;
  }
  return half_is_enough ? half : quads.largest_within(high);
}

// Names the quads above the limit; the rest of the names go to one that is not.
template <size_t V>
inline void name_quads(const QuadMaxima& quads, float limit, uint8_t* lines) {
  constexpr uint32_t kLanes = V == 2 ? 0x3333 : V == 4 ? 0xffff : 0xffffffff;  // that have a vector
  uint32_t above = quads.above(limit) & kLanes;
  const uint32_t within = ~above & kLanes;
  const auto line_of = [](uint32_t lanes) {
    const auto lane = static_cast<uint32_t>(__builtin_ctz(lanes));
    return static_cast<uint8_t>(lane / 16 * 16 + lane % 4 * 4 + lane / 4 % 4);
  };
  const uint8_t other = within == 0 ? uint8_t{0} : line_of(within);  // none with NaN alone
  for (int i = 0; i < ActGroup<V>::kQuads; ++i, above &= above - 1) {
    lines[i] = above == 0 ? other : line_of(above);
  }
}

}  // namespace
