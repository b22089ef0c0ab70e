#pragma once

// Scans of a row of n logits, written once over the vec16.h of the including level. A NaN is not
// at least anything. Sums: in a block of 1,024 by lane, i ascending, then halves onto halves; the
// blocks in f64, ascending.
namespace {

using bitcpm::kernels::kLogitsBlock;
using bitcpm::kernels::kLogitsProbes;
using bitcpm::kernels::LogitsProbe;

constexpr float kNoLogit = -__builtin_inff();

// x[i .. i + 15], and `rest` past the end of the row.
inline F16x load_row(const float* x, size_t i, size_t n, float rest) {
  if (n - i >= 16) return load(x + i);
  alignas(64) float padded[16];
  for (size_t j = 0; j < 16; ++j) padded[j] = i + j < n ? x[i + j] : rest;
  return load(padded);
}

inline size_t block_end(size_t begin, size_t n) {
  return n - begin < kLogitsBlock ? n : begin + kLogitsBlock;
}

// maxima[b]: the largest of block b; minus infinity if there is no larger one.
inline void logits_maxima(const float* x, size_t n, float* maxima) {
  constexpr size_t kChains = 4;
  for (size_t begin = 0; begin < n; begin += kLogitsBlock) {
    const size_t end = block_end(begin, n);
    F16x most[kChains];
    for (F16x& m : most) m = set1(kNoLogit);
    size_t i = begin;
    for (; i + 16 * kChains <= end; i += 16 * kChains) {
#pragma GCC unroll 4
      for (size_t c = 0; c < kChains; ++c) most[c] = max(load(x + i + 16 * c), most[c]);
    }
    for (; i < end; i += 16) most[0] = max(load_row(x, i, n, kNoLogit), most[0]);
    maxima[begin / kLogitsBlock] = reduce_max(max(max(most[0], most[1]), max(most[2], most[3])));
  }
}

// How many are at least `threshold`.
inline size_t logits_count(const float* x, size_t n, float threshold) {
  const F16x one = set1(1.0f);
  size_t count = 0;
  for (size_t begin = 0; begin < n; begin += kLogitsBlock) {
    F16x lanes = set1(0);  // exact: a block has 64 logits per lane
    for (size_t i = begin; i < block_end(begin, n); i += 16) {
      lanes = add_at_least(lanes, one, load_row(x, i, n, __builtin_nanf("")), set1(threshold));
    }
    count += static_cast<size_t>(reduce_add(lanes));
  }
  return count;
}

// weights[i] = exp((x[i] - most) * inverse_temperature), 0 below exp(-87); weights has room for a
// multiple of 16 and gets zeros there. sums[b]: of block b.
inline void logits_weights(const float* x, size_t n, float most, float inverse_temperature,
                           float* weights, float* sums) {
  const F16x least = set1(-87.0f);
  for (size_t begin = 0; begin < n; begin += kLogitsBlock) {
    F16x sum = set1(0);
    for (size_t i = begin; i < block_end(begin, n); i += 16) {
      const F16x y = mul(sub(load_row(x, i, n, kNoLogit), set1(most)), set1(inverse_temperature));
      const F16x weight = keep_at_least(exp16(y), y, least);
      store(weights + i, weight);
      sum = add(sum, weight);
    }
    sums[begin / kLogitsBlock] = reduce_add(sum);
  }
}

// Fills count and mass of each probe. weights: [n rounded up to 16]
inline void logits_probe(const float* x, const float* weights, size_t n, LogitsProbe* probes) {
  for (size_t p = 0; p < kLogitsProbes; ++p) probes[p].count = 0, probes[p].mass = 0;
  const F16x one = set1(1.0f);
  for (size_t begin = 0; begin < n; begin += kLogitsBlock) {
    F16x mass[kLogitsProbes];
    F16x count[kLogitsProbes];  // exact: a block has 64 logits per lane
    for (size_t p = 0; p < kLogitsProbes; ++p) mass[p] = count[p] = set1(0);
    for (size_t i = begin; i < block_end(begin, n); i += 16) {
      const F16x v = load_row(x, i, n, __builtin_nanf(""));
      const F16x weight = load(weights + i);
#pragma GCC unroll 4
      for (size_t p = 0; p < kLogitsProbes; ++p) {
        const F16x threshold = set1(probes[p].threshold);
        mass[p] = add_at_least(mass[p], weight, v, threshold);
        count[p] = add_at_least(count[p], one, v, threshold);
      }
    }
    for (size_t p = 0; p < kLogitsProbes; ++p) {
      probes[p].mass += static_cast<double>(reduce_add(mass[p]));
      probes[p].count += static_cast<size_t>(reduce_add(count[p]));
    }
  }
}

// sums[b]: of the weights in block b whose logit is at least `threshold`.
inline void logits_sums(const float* x, const float* weights, size_t n, float threshold,
                        float* sums) {
  for (size_t begin = 0; begin < n; begin += kLogitsBlock) {
    F16x sum = set1(0);
    for (size_t i = begin; i < block_end(begin, n); i += 16) {
      const F16x v = load_row(x, i, n, __builtin_nanf(""));
      sum = add_at_least(sum, load(weights + i), v, set1(threshold));
    }
    sums[begin / kLogitsBlock] = reduce_add(sum);
  }
}

// The indices of logits in [least, below), ascending, no more than `room`; how many. A `below` of
// NaN is no bound.
inline size_t logits_gather(const float* x, size_t n, float least, float below, size_t room,
                            int32_t* indices) {
  size_t count = 0;
  for (size_t i = 0; i < n; i += 16) {
    const F16x v = load_row(x, i, n, __builtin_nanf(""));
    uint32_t lanes = lanes_at_least(v, set1(least)) & ~lanes_at_least(v, set1(below));
    for (; lanes != 0; lanes &= lanes - 1) {
      if (count == room) return count;
      indices[count++] = static_cast<int32_t>(i) + __builtin_ctz(lanes);
    }
  }
  return count;
}

}  // namespace
