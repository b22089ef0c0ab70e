#pragma once

// RMSNorm, SiLU, exp and roundings, written once over the vec16.h of the including level.
namespace {

// Calls op(0) to op(N - 1): the same step of N chains of operations that do not depend on each
// other. One after the other, chains as long as these fill the core's queues with what waits.
template <size_t N, class Op>
[[gnu::always_inline]] inline void each(const Op& op) {
#pragma GCC unroll 8
  for (size_t i = 0; i < N; ++i) op(i);
}

// exp(x) for x clamped to [-87, 88]: 2^n * p(r), n = round(x log2 e), |r| <= ln2 / 2; degree 6,
// relative error below 2e-7. Coefficients: Cephes expf (Moshier). ln2 is split in two so that
// n * ln2_hi is exact.
template <size_t N>
[[gnu::always_inline]] inline void exp_each(F16x (&x)[N]) {
  constexpr float kCoefficients[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                                     1.6666665459e-1f, 5.0000001201e-1f};
  const F16x magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  F16x shifted[N];
  F16x n[N];
  F16x p[N];
  each<N>([&](size_t i) { x[i] = min(max(x[i], set1(-87.0f)), set1(88.0f)); });
  each<N>([&](size_t i) { shifted[i] = fma(x[i], set1(1.44269504088896341f), magic); });
  each<N>([&](size_t i) { n[i] = sub(shifted[i], magic); });
  each<N>([&](size_t i) { x[i] = fma(n[i], set1(-0.693359375f), x[i]); });
  each<N>([&](size_t i) { x[i] = fma(n[i], set1(2.12194440e-4f), x[i]); });
  each<N>([&](size_t i) { p[i] = set1(1.9875691500e-4f); });
#pragma GCC unroll 8
  for (const float c : kCoefficients) {
    each<N>([&](size_t i) { p[i] = fma(p[i], x[i], set1(c)); });
  }
  each<N>([&](size_t i) { p[i] = fma(p[i], mul(x[i], x[i]), add(x[i], set1(1.0f))); });
  each<N>([&](size_t i) { x[i] = mul(p[i], pow2_of_magic(shifted[i])); });
}
inline F16x exp16(F16x x) {
  F16x alone[] = {x};
  exp_each(alone);
  return alone[0];
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

template <size_t N>
inline void silu_mul_vectors(const float* gate, const float* up, float* out) {
  F16x g[N];
  F16x e[N];
  each<N>([&](size_t i) { g[i] = load(gate + 16 * i); });
  each<N>([&](size_t i) { e[i] = sub(set1(0), g[i]); });
  exp_each(e);
  each<N>([&](size_t i) {
    store(out + 16 * i, mul(div(g[i], add(set1(1.0f), e[i])), load(up + 16 * i)));
  });
}
inline void silu_mul(const float* gate, const float* up, size_t n, float* out) {
  size_t i = 0;
  for (; i + 16 * kSideBySide <= n; i += 16 * kSideBySide) {
    silu_mul_vectors<kSideBySide>(gate + i, up + i, out + i);
  }
  for (; i < n; i += 16) silu_mul_vectors<1>(gate + i, up + i, out + i);
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
