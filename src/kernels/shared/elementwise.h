#pragma once

// RMSNorm, SiLU, exp and roundings, written once over the vec16.h of the including level.
namespace {

// exp(x) for x clamped to [-87, 88]: 2^n * p(r), n = round(x log2 e), |r| <= ln2 / 2; degree 6,
// relative error below 2e-7. Coefficients: Cephes expf (Moshier). ln2 is split in two so that
// n * ln2_hi is exact.
inline F16x exp16(F16x x) {
  const F16x magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  x = min(max(x, set1(-87.0f)), set1(88.0f));
  const F16x shifted = fma(x, set1(1.44269504088896341f), magic);
  const F16x n = sub(shifted, magic);
  F16x r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  F16x p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, mul(r, r), add(r, set1(1.0f)));
  return mul(p, pow2_of_magic(shifted));
}

inline void rms_norm(const float* x, const float* weight, float eps, size_t n, float* out) {
  F16x squares = set1(0);
  for (size_t i = 0; i < n; i += 16) {
    const F16x v = load(x + i);
    squares = fma(v, v, squares);
  }
  const float mean = reduce_add(squares) / static_cast<float>(n);
  const F16x inverse = set1(1.0f / __builtin_sqrtf(mean + eps));
  for (size_t i = 0; i < n; i += 16) {
    store(out + i, mul(mul(load(x + i), inverse), load(weight + i)));
  }
}

inline void silu_mul(const float* gate, const float* up, size_t n, float* out) {
  const F16x one = set1(1.0f);
  for (size_t i = 0; i < n; i += 16) {
    const F16x g = load(gate + i);
    const F16x e = exp16(sub(set1(0), g));
    store(out + i, mul(div(g, add(one, e)), load(up + i)));
  }
}

// The compiler makes vectors of these two: no lane knows of another.
inline void add_scaled(const float* __restrict delta, float scale, size_t n, float* __restrict h) {
  for (size_t i = 0; i < n; ++i) h[i] += scale * delta[i];
}

inline void rotate(const float* __restrict cos, const float* __restrict sin, size_t heads,
                   size_t head_dim, float* x) {
  const size_t half = head_dim / 2;
  for (const float* end = x + heads * head_dim; x < end; x += head_dim) {
    float* __restrict first = x;
    float* __restrict second = x + half;
    for (size_t i = 0; i < half; ++i) {
      const float a = first[i];
      const float b = second[i];
      first[i] = a * cos[i] - b * sin[i];
      second[i] = b * cos[i] + a * sin[i];
    }
  }
}

inline void round_to_bf16(const float* x, size_t n, uint16_t* out) {
  for (size_t i = 0; i < n; i += 16) store_bf16(out + i, load(x + i));
}

}  // namespace
