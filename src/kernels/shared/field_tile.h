#pragma once

// Products of int8 activations with field-packed weights, written once over the dot16.h of the
// including level.
//
// For one row and token, with a the activation scale of 32 in-features and w the weight scale:
//   inner = fma(float(sum of code products), a, inner)   over the 32s of a weight group
//   total = fma(w, inner, total)                         over the weight groups
// k ascending. The integer part is exact, so neither the tile nor the level shows in a bit. The
// fields of ternary weights enter as 4^f times their code, which w / 4^f undoes exactly.
namespace {

using bitcpm::kernels::Extra;
using bitcpm::kernels::Int8Fields;
using bitcpm::kernels::kActGroup;
using bitcpm::kernels::kFieldRows;
using bitcpm::kernels::kFields;
using bitcpm::kernels::kInt8WeightZero;
using bitcpm::kernels::QuantizedIo;
using bitcpm::kernels::TernaryFields;

constexpr size_t kPrefetchBytes = 2048;  // ahead of a lone token, which waits for memory

// What the zero 2^Bits of the weights adds to a sum of products: nothing if weight_bytes took it
// off.
template <int Bits>
inline I16x zero_times(I16x sum) {
  if constexpr ((1 << Bits) > kMostZeroKept) return I16x{};
  return shift_left<Bits>(sum);
}

struct TernaryForm {
  using Weights = TernaryFields;
  static constexpr size_t kLineBytes = 64;
  static constexpr float unscale(size_t field) { return 1.0f / static_cast<float>(1 << 2 * field); }
  static I16x offset(size_t field, I16x sum) {
    return field == 0   ? sum
           : field == 1 ? zero_times<2>(sum)
           : field == 2 ? zero_times<4>(sum)
                        : zero_times<6>(sum);
  }
  static Bytes field(const uint8_t* line, size_t f) {
    return weight_bytes(mask_bytes(load_bytes(line), 0x03030303u << 2 * f), 1 << 2 * f);
  }
  static I16x dot(I16x sum, Bytes u, Bytes s) { return dot4_small(sum, u, s); }
};

static_assert(kInt8WeightZero == 1 << 7, "Int8Form::offset");
struct Int8Form {
  using Weights = Int8Fields;
  static constexpr size_t kLineBytes = 256;
  static constexpr float unscale(size_t) { return 1.0f; }
  static I16x offset(size_t, I16x sum) { return zero_times<7>(sum); }
  static Bytes field(const uint8_t* line, size_t f) {
    return weight_bytes(load_bytes(line + 64 * f), kInt8WeightZero);
  }
  static I16x dot(I16x sum, Bytes u, Bytes s) { return dot4(sum, u, s); }
};

// One panel by T tokens, F fields at a time. Wide: the activations have extras.
template <class Form, size_t F, size_t T, bool Wide>
void field_tile(const typename Form::Weights& w, size_t panel, const QuantizedIo& io,
                size_t token) {
  const size_t cols = w.cols;
  const size_t groups = cols / w.group;
  const size_t act_groups = cols / kActGroup;
  const uint8_t* panel_lines = w.lines + panel * (cols / 4) * Form::kLineBytes;
  const uint16_t* panel_scales = w.scales + panel * groups * kFieldRows;
  const int8_t* codes = io.x.codes + token * cols;
  const float* act_scales = io.x.scales + token * act_groups;
  const int32_t* minus_sums = io.x.minus_sums + token * act_groups;
  alignas(64) float totals[T][kFieldRows] = {};
  for (size_t f0 = 0; f0 < kFields; f0 += F) {
    for (size_t group = 0; group < groups; ++group) {
      F16x inner[F][T];
#pragma GCC unroll 4
      for (size_t f = 0; f < F; ++f) {
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) inner[f][t] = set1(0);
      }
      const size_t end = (group + 1) * w.group;
      for (size_t k0 = group * w.group; k0 < end; k0 += kActGroup) {
        const size_t act_group = k0 / kActGroup;
        I16x sum[F][T];
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const I16x minus_sum = load_int(minus_sums + t * act_groups + act_group);
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) sum[f][t] = Form::offset(f0 + f, minus_sum);
        }
        const uint8_t* line = panel_lines + k0 / 4 * Form::kLineBytes;
#pragma GCC unroll 8
        for (size_t k = 0; k < kActGroup; k += 4, line += Form::kLineBytes) {
          Bytes quad[T];
#pragma GCC unroll 8
          for (size_t t = 0; t < T; ++t) quad[t] = load_quad(codes + t * cols + k0 + k);
          if (T == 1) {
            for (size_t b = 0; b < Form::kLineBytes; b += 64) prefetch(line + kPrefetchBytes + b);
          }
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) {
            const Bytes u = Form::field(line, f0 + f);
#pragma GCC unroll 8
            for (size_t t = 0; t < T; ++t) sum[f][t] = Form::dot(sum[f][t], u, quad[t]);
          }
        }
        if (Wide) {
#pragma GCC unroll 8
          for (size_t t = 0; t < T; ++t) {
            const Extra extra = io.x.extras[(token + t) * act_groups + act_group];
            const Bytes quad = load_quad(&extra.quad);
            const uint8_t* its_line = panel_lines + (k0 / 4 + extra.line) * Form::kLineBytes;
#pragma GCC unroll 4
            for (size_t f = 0; f < F; ++f) {
              sum[f][t] = Form::dot(sum[f][t], Form::field(its_line, f0 + f), quad);
            }
          }
        }
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          const F16x a = set1(act_scales[t * act_groups + act_group]);
#pragma GCC unroll 4
          for (size_t f = 0; f < F; ++f) inner[f][t] = fma(to_float(sum[f][t]), a, inner[f][t]);
        }
      }
#pragma GCC unroll 4
      for (size_t f = 0; f < F; ++f) {
        const F16x scale = mul(load_bf16(panel_scales + group * kFieldRows + 16 * (f0 + f)),
                               set1(Form::unscale(f0 + f)));
#pragma GCC unroll 8
        for (size_t t = 0; t < T; ++t) {
          float* total = totals[t] + 16 * (f0 + f);
          store(total, fma(scale, inner[f][t], load(total)));
        }
      }
    }
  }
  const size_t row = panel * kFieldRows;
  const size_t rows = w.rows - row < kFieldRows ? w.rows - row : kFieldRows;
  for (size_t t = 0; t < T; ++t) {
    __builtin_memcpy(io.y + (token + t) * io.ldy + row, totals[t], rows * sizeof(float));
  }
}

}  // namespace
