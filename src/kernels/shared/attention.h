#pragma once

#include "kernels/shared/attention_scores.h"
#include "kernels/shared/attention_values.h"

// Attention of all rows to one part of the context, and the merge of parts.
namespace {

using bitcpm::kernels::AttentionPart;
using bitcpm::kernels::kAttentionSplit;
using bitcpm::kernels::kMaxHeadDim;

// One chunk, which begins at position `begin`, for R rows from `row` on. ahead: what comes next
template <class Element, size_t R, size_t V, size_t D>
inline void attend_chunk(const AttentionArgs& a, const AttentionPart& part, size_t row,
                         size_t begin, ChunkAhead& ahead) {
  AttentionRows<R> rows;
  rows.max = part.max + row;
  rows.sum = part.sum + row;
  rows.ahead = row == 0 ? &ahead : nullptr;
  alignas(64) float scaled[R][kMaxHeadDim];
  size_t most = 0;
  size_t least = kChunk;
  size_t token = row / a.heads;
  size_t head = row % a.heads;
  for (size_t r = 0; r < R; ++r) {
    const float* q = a.q + token * a.ldq + head * a.head_dim;
    rows.out[r] = part.out + (row + r) * a.head_dim;
    rows.valid[r] = valid_positions(a, token, begin);
    most = rows.valid[r] > most ? rows.valid[r] : most;
    least = rows.valid[r] < least ? rows.valid[r] : least;
    rows.q[r] = scaled[r];
    for (size_t d = 0; d < a.head_dim; d += 16) {
      store(scaled[r] + d, operand<Element>(mul(load(q + d), set1(a.scale))));
    }
    if (++head == a.heads) head = 0, ++token;
  }
  if (most == 0) return;
  alignas(64) float score[R][kChunk];
  float keep[R];
  const size_t first_block = begin / kKvBlockTokens;
  const size_t blocks = (most + kKvBlockTokens - 1) / kKvBlockTokens;
  for (size_t b = 0; b < blocks; ++b) {
    score_block<Element>(a, rows, first_block + b, b * kKvBlockTokens, score);
  }
  const auto put = [&](size_t r, size_t i, F16x p) { store(score[r] + i, operand<Element>(p)); };
  if (least == kChunk) {
    weigh_chunk<true>(rows, kChunk, score, keep, put);
  } else {
    weigh_chunk<false>(rows, blocks * kKvBlockTokens, score, keep, put);
  }
  for (size_t r = 0; r < R; ++r) scale_output(rows.out[r], a.head_dim, keep[r]);
  add_chunk<Element, V, D>(a, rows, first_block, score);
}

// Q rows of queries share a load of keys, V rows by D vectors one of values.
template <class Element, size_t Q, size_t V, size_t D>
void attention(const AttentionArgs& a, size_t begin, const AttentionPart& part) {
  const size_t rows = a.tokens * a.heads;
  for (size_t r = 0; r < rows; ++r) {
    part.max[r] = kMinusInfinity;
    part.sum[r] = 0;
  }
  for (size_t i = 0; i < rows * a.head_dim; ++i) part.out[i] = 0;
  const size_t context = a.context + a.tokens - 1;
  const size_t end = context < begin + kAttentionSplit ? context : begin + kAttentionSplit;
  for (size_t chunk = begin; chunk < end; chunk += kChunk) {
    ChunkAhead ahead(a, chunk, end, rows > Q);
    size_t row = 0;
    for (; row + Q <= rows; row += Q) attend_chunk<Element, Q, V, D>(a, part, row, chunk, ahead);
    if (row + Q / 2 <= rows) {
      attend_chunk<Element, Q / 2, V, D>(a, part, row, chunk, ahead);
      row += Q / 2;
    }
    for (; row < rows; ++row) attend_chunk<Element, 1, 1, D>(a, part, row, chunk, ahead);
    ahead.ask_rest();
  }
}

// One row of all parts, ascending: the larger maximum wins, then the division by the sum.
inline void merge_attention(const AttentionPart* parts, size_t count, size_t row, size_t head_dim,
                            float* out) {
  float* o = parts[0].out + row * head_dim;
  float largest = parts[0].max[row];
  float sum = parts[0].sum[row];
  for (size_t i = 1; i < count; ++i) {
    if (parts[i].sum[row] == 0) continue;
    const float* add_out = parts[i].out + row * head_dim;
    const float part_max = parts[i].max[row];
    const float new_max = part_max > largest ? part_max : largest;
    float keep[16] = {largest - new_max, part_max - new_max};
    store(keep, exp16(load(keep)));
    const F16x keep_old = set1(keep[0]);
    const F16x keep_new = set1(keep[1]);
    for (size_t d = 0; d < head_dim; d += 16) {
      store(o + d, fma(load(add_out + d), keep_new, mul(load(o + d), keep_old)));
    }
    sum = __builtin_fmaf(parts[i].sum[row], keep[1], sum * keep[0]);
    largest = new_max;
  }
  const F16x inverse = set1(1.0f / sum);
  for (size_t d = 0; d < head_dim; d += 16) store(out + d, mul(load(o + d), inverse));
}

template <size_t Q, size_t V, size_t D>
void install_attention(bitcpm::kernels::KernelTable& table) {
  using bitcpm::kernels::KvType;
  table.attention[static_cast<size_t>(KvType::kFloat32)] = attention<float, Q, V, D>;
  table.attention[static_cast<size_t>(KvType::kBfloat16)] = attention<uint16_t, Q, V, D>;
  table.attention[static_cast<size_t>(KvType::kInt8)] = attention<int8_t, Q, V, D>;
}

}  // namespace
