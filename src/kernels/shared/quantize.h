#pragma once

// Quantisation of activations, written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::Extra;
using bitcpm::kernels::kActGroup;
using bitcpm::kernels::QuantizedRows;

static_assert(kActGroup == 32, "two vectors of sixteen");

// What 127 stands for. A group with one element of the largest size may let that one exceed the
// range twofold, if there is room for its extra.
struct Range {
  float limit;
  uint32_t outlier;  // bit k: element k is the one that may
};

inline Range plain_range(F16x a, F16x b) { return {reduce_max(max(a, b)), 0}; }

// a, b: the absolute values
inline Range wide_range(F16x a, F16x b) {
  const float largest = reduce_max(max(a, b));
  const uint32_t where = mask_equal(a, largest) | mask_equal(b, largest) << 16;
  if ((where & (where - 1)) != 0) return {largest, 0};
  const float second = reduce_max(max(drop_equal(a, largest), drop_equal(b, largest)));
  const float half = 0.5f * largest;
  return {second > half ? second : half, where};
}

// One row: per 32 values, scale = limit / 127 and code = round(x * (127 / limit)), ties to even.
// Groups too small for the quotient to be finite are zero; one that holds an infinity has the scale
// NaN, so that nonsense stays visible.
void quantize(const float* x, size_t n, const QuantizedRows& out) {
  constexpr float kSmallest = 1e-30f;
  constexpr float kLargest = 3e38f;
  const F16x top = set1(127);
  const F16x bottom = set1(-127);
  for (size_t group = 0; group < n / kActGroup; ++group) {
    const F16x a = load(x + group * kActGroup);
    const F16x b = load(x + group * kActGroup + 16);
    const Range range =
        out.extras == nullptr ? plain_range(abs(a), abs(b)) : wide_range(abs(a), abs(b));
    const bool some = range.limit >= kSmallest && range.limit <= kLargest;
    const float inverse = some ? 127.0f / range.limit : 0.0f;
    const F16x zero = set1(0);
    const F16x v = some ? mul(a, set1(inverse)) : zero;
    const F16x w = some ? mul(b, set1(inverse)) : zero;
    int8_t* codes = out.codes + group * kActGroup;
    const F16x low = store_rounded(codes, min(max(v, bottom), top));
    const F16x high = store_rounded(codes + 16, min(max(w, bottom), top));
    // Small integers: exact.
    auto sum = static_cast<int32_t>(reduce_add(add(low, high)));
    if (out.extras != nullptr) {
      Extra extra = {0, 0};
      if (some && range.outlier != 0) {
        const auto k = static_cast<uint32_t>(__builtin_ctz(range.outlier));
        const auto code = static_cast<int32_t>(__builtin_rintf(x[group * kActGroup + k] * inverse));
        const int32_t above = code - codes[k];
        extra = {(static_cast<uint32_t>(above) & 0xffu) << 8 * (k % 4), k / 4};
        sum += above;
      }
      out.extras[group] = extra;
    }
    out.scales[group] = some                      ? range.limit / 127.0f
                        : range.limit < kSmallest ? 0.0f
                                                  : __builtin_nanf("");
    out.minus_sums[group] = -sum;
  }
}

}  // namespace
