#pragma once

// Online-softmax attention of one token, written once over the vec16.h of the including level.
namespace {

using bitcpm::kernels::AttentionArgs;
using bitcpm::kernels::kKvBlockTokens;

constexpr float kMinusInfinity = -__builtin_inff();

// Running state of one query head (Alg. 1 of FlashAttention-2: m, l and the unnormalised output).
struct HeadState {
  float max;
  float sum;
};

// p = exp(scale * q K - max) over one block; folds the block into the head's state.
//   k [head_dim][32]   v [32][head_dim]   valid: positions of the block that exist, 1..32
inline void attend_block(const AttentionArgs& a, const float* q, const float* k, const float* v,
                         size_t valid, HeadState& state, float* out) {
  F16x s0 = set1(0);
  F16x s1 = set1(0);
  for (size_t d = 0; d < a.head_dim; ++d) {
    const F16x qd = set1(q[d]);
    s0 = fma(qd, load(k + d * kKvBlockTokens), s0);
    s1 = fma(qd, load(k + d * kKvBlockTokens + 16), s1);
  }
  const size_t valid1 = valid > 16 ? valid - 16 : 0;
  // Slots past the context hold whatever their last owner left: they must not even be multiplied.
  s0 = keep_first(mul(s0, set1(a.scale)), valid, kMinusInfinity);
  s1 = keep_first(mul(s1, set1(a.scale)), valid1, kMinusInfinity);
  const float block_max = reduce_max(max(s0, s1));
  const float new_max = state.max > block_max ? state.max : block_max;
  const F16x shift = set1(new_max);
  const F16x p0 = keep_first(exp16(sub(s0, shift)), valid, 0);
  const F16x p1 = keep_first(exp16(sub(s1, shift)), valid1, 0);
  float p[kKvBlockTokens];
  store(p, p0);
  store(p + 16, p1);
  float rescale[16];
  store(rescale, exp16(set1(state.max - new_max)));
  const float keep = state.sum == 0 ? 0 : rescale[0];  // first block: nothing to keep
  state.sum = __builtin_fmaf(state.sum, keep, reduce_add(add(p0, p1)));
  state.max = new_max;
  for (size_t d = 0; d < a.head_dim; d += 16) {
    F16x acc = mul(load(out + d), set1(keep));
    for (size_t j = 0; j < valid; ++j) {
      acc = fma(set1(p[j]), load(v + j * a.head_dim + d), acc);
    }
    store(out + d, acc);
  }
}

void attention(const AttentionArgs& a) {
  constexpr size_t kMostHeads = 64;  // query heads per K/V head; the loop splits larger groups
  HeadState states[kMostHeads];
  for (size_t first = 0; first < a.heads; first += kMostHeads) {
    const size_t heads = a.heads - first < kMostHeads ? a.heads - first : kMostHeads;
    const float* q = a.q + first * a.head_dim;
    float* out = a.out + first * a.head_dim;
    for (size_t h = 0; h < heads; ++h) states[h] = {kMinusInfinity, 0};
    for (size_t i = 0; i < heads * a.head_dim; ++i) out[i] = 0;
    for (size_t begin = 0; begin < a.context; begin += kKvBlockTokens) {
      const auto block = static_cast<size_t>(a.block_ids[begin / kKvBlockTokens]) * a.block_stride;
      const size_t left = a.context - begin;
      const size_t valid = left < kKvBlockTokens ? left : kKvBlockTokens;
      for (size_t h = 0; h < heads; ++h) {  // the block stays in L1 for every head that shares it
        attend_block(a, q + h * a.head_dim, a.k_blocks + block, a.v_blocks + block, valid,
                     states[h], out + h * a.head_dim);
      }
    }
    for (size_t h = 0; h < heads; ++h) {
      const F16x inverse = set1(1.0f / states[h].sum);
      float* o = out + h * a.head_dim;
      for (size_t d = 0; d < a.head_dim; d += 16) store(o + d, mul(load(o + d), inverse));
    }
  }
}

}  // namespace
