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

// The Count largest of what is put, lane by lane, the largest first.
template <int Count>
struct Largest {
  F16x value[Count];

  Largest() {
    for (F16x& v : value) v = set1(0);
  }
  void put(F16x v) {
#pragma GCC unroll 8
    for (F16x& place : value) {
      const F16x rest = smaller(place, v);
      place = larger(place, v);
      v = rest;
    }
  }
};

// What the largest codes of sixteen groups stand for, a lane each: where `Spared` quads may exceed
// them twofold, the largest magnitude of the others, but no less than half of the largest of all.
// A NaN if the group holds one, an infinity, or 1e30, which no model has: nonsense stays visible.
template <int Spared, size_t V>
inline F16x act_limits(const QuadMaxima (&quads)[16]) {
  Largest<Spared + 1> largest;
  for (size_t h = 0; h < (V + 3) / 4; ++h) {
    F16x of_lane[16];
#pragma GCC unroll 16
    for (size_t g = 0; g < 16; ++g) of_lane[g] = quads[g].most[h];
    transpose(of_lane);
#pragma GCC unroll 16
    for (const F16x& maxima : of_lane) largest.put(maxima);
  }
  const F16x all = largest.value[0];
  const F16x limit = Spared == 0 ? all : larger(mul(all, set1(0.5f)), largest.value[Spared]);
  const F16x number = smaller(all, set1(__builtin_inff()));
  return larger(limit, keep_at_least(set1(__builtin_nanf("")), number, set1(1e30f)));
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
  const uint8_t other = within == 0 ? uint8_t{0} : line_of(within);  // none where the limit is NaN
  for (int i = 0; i < ActGroup<V>::kQuads; ++i, above &= above - 1) {
    lines[i] = above == 0 ? other : line_of(above);
  }
}

}  // namespace
