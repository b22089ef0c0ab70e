#pragma once

// Quantisation of activations, written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::kActGroup;
using bitcpm::kernels::kInt16Base;
using bitcpm::kernels::kInt16Top;
using bitcpm::kernels::planes_of;
using bitcpm::kernels::QuantizedRows;

static_assert(kActGroup == 32, "two vectors of sixteen");

// What the largest code stands for. A group with one element of the largest size may let that one
// exceed the range twofold, if there is a plane for its rest.
struct Range {
  float limit;
  uint32_t outlier;  // bit k: element k is the one that may
};

inline Range plain_range(F16x a, F16x b) { return {reduce_max(max(a, b)), 0}; }

// a, b: the absolute values
inline Range outlier_range(F16x a, F16x b) {
  const float largest = reduce_max(max(a, b));
  const uint32_t where = mask_equal(a, largest) | mask_equal(b, largest) << 16;
  if ((where & (where - 1)) != 0) return {largest, 0};
  const float second = reduce_max(max(drop_equal(a, largest), drop_equal(b, largest)));
  const float half = 0.5f * largest;
  return {second > half ? second : half, where};
}

// Sixteen codes of 8 bits from x times what turns it into codes; returns them.
inline F16x put_int8(F16x v, int8_t* plane) {
  return store_rounded(plane, min(max(v, set1(-127)), set1(127)));
}

// The same of 16 bits, in two planes: exact arithmetic on integers but for the first rounding.
inline F16x put_int16(F16x v, int8_t* first) {
  const F16x magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const F16x top = set1(kInt16Top);
  const F16x value = sub(add(min(max(v, sub(set1(0), top)), top), magic), magic);
  const F16x high = store_rounded(first, mul(value, set1(1.0f / kInt16Base)));
  store_rounded(first + kActGroup, fma(high, set1(-kInt16Base), value));
  return value;
}

// What element k, the outlier, has above 127 goes to the second plane, which is all zero. Returns
// it.
inline int32_t put_outlier(float v, size_t k, int8_t* first, uint8_t* line) {
  const int32_t above = static_cast<int32_t>(__builtin_rintf(v)) - first[k];
  first[kActGroup + k] = static_cast<int8_t>(above);
  *line = static_cast<uint8_t>(k / 4);
  return above;
}

// One row: per 32 values, scale = limit / top and code = round(x * (top / limit)), ties to even,
// top being 127 or 32,384. Groups that are next to nothing are zero; one that holds an infinity, or
// values that no model has, gets the scale NaN, so that nonsense stays visible. Scales are thereby
// so far from the ends of the floats' range that a power of two shows in no bit of what follows.
inline void quantize(const float* x, size_t n, const QuantizedRows& out) {
  constexpr float kSmallest = 1e-20f;
  constexpr float kLargest = 1e30f;
  const size_t pitch = planes_of(out.form) * kActGroup;
  const bool outliers = out.form == ActForm::kInt8Outlier;
  const bool wide = out.form == ActForm::kInt16;
  const float most = wide ? static_cast<float>(kInt16Top) : 127.0f;
  for (size_t group = 0; group < n / kActGroup; ++group) {
    const F16x a = load(x + group * kActGroup);
    const F16x b = load(x + group * kActGroup + 16);
    const Range range = outliers ? outlier_range(abs(a), abs(b)) : plain_range(abs(a), abs(b));
    const bool some = range.limit >= kSmallest && range.limit <= kLargest;
    const float inverse = some ? most / range.limit : 0.0f;
    const F16x v = some ? mul(a, set1(inverse)) : set1(0);
    const F16x w = some ? mul(b, set1(inverse)) : set1(0);
    int8_t* codes = out.codes + group * pitch;
    const F16x low = wide ? put_int16(v, codes) : put_int8(v, codes);
    const F16x high = wide ? put_int16(w, codes + 16) : put_int8(w, codes + 16);
    // Integers below 2^24: exact.
    auto sum = static_cast<int32_t>(reduce_add(add(low, high)));
    if (outliers) {
      __builtin_memset(codes + kActGroup, 0, kActGroup);
      out.lines[group] = 0;
      if (some && range.outlier != 0) {
        const auto k = static_cast<size_t>(__builtin_ctz(range.outlier));
        sum += put_outlier(x[group * kActGroup + k] * inverse, k, codes, out.lines + group);
      }
    }
    out.scales[group] = some                      ? range.limit / most
                        : range.limit < kSmallest ? 0.0f
                                                  : __builtin_nanf("");
    out.minus_sums[group] = -sum;
  }
}

}  // namespace
