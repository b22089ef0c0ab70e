#pragma once

#include "kernels/shared/act_planes.h"
#include "kernels/shared/act_range.h"

// Quantisation of activations, written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::ActRows;
using bitcpm::kernels::QuantizedRows;

// Of sixteen groups: scale = limit / top, and what turns x into values. Groups that are next to
// nothing are zero, and so are those whose limit is NaN, but for the scale. Scales are so far from
// the ends of the floats' range that a power of two shows in no bit of what follows.
struct ActScales {
  alignas(64) float limit[16];
  alignas(64) float scale[16];
  alignas(64) float inverse[16];

  ActScales(F16x limits, float top) {
    const F16x smallest = set1(1e-20f);
    const F16x scales = keep_at_least(div(limits, set1(top)), limits, smallest);
    store(limit, limits);
    store(scale, add(scales, mul(limits, set1(0))));
    store(inverse, keep_at_least(div(set1(top), limits), limits, smallest));
  }
};

// Writes value = round(x * inverse) of one group and returns minus their sum.
template <ActForm Form, size_t V>
inline int32_t put_group(const float* x, float inverse, int8_t* codes) {
  const bool some = inverse > 0;
  const F16x factor = set1(inverse);
  const ActGroup<V> group(x);
  F16x sum = set1(0);
#pragma GCC unroll 4
  for (size_t v = 0; v < V; v += 2) {
    const F16x a = some ? mul(group.x[v], factor) : set1(0);
    const F16x b = some ? mul(group.x[v + 1], factor) : set1(0);
    int8_t* first = codes + 16 * v;
    sum = add(sum, put_planes<Form>(a, b, first, first + ActGroup<V>::kSize));
  }
  return -static_cast<int32_t>(reduce_add(sum));  // integers below 2^24: exact
}

// Where groups are, row by row.
template <size_t V>
class GroupCursor {
 public:
  GroupCursor(const ActRows& x, const QuantizedRows& out) : x_(x), out_(out) {}

  const float* x() const { return x_.values + row_ * x_.stride + group_ * ActGroup<V>::kSize; }
  int8_t* codes() const { return out_.codes + row_ * out_.pitch + group_ * 2 * ActGroup<V>::kSize; }
  size_t at() const { return row_ * out_.groups + group_; }
  uint8_t* lines() const { return out_.lines + at() * ActGroup<V>::kQuads; }

  void next() {
    if (++group_ * ActGroup<V>::kSize == x_.cols) group_ = 0, ++row_;
  }

 private:
  const ActRows& x_;
  const QuantizedRows& out_;
  size_t row_ = 0;
  size_t group_ = 0;
};

// Sixteen groups at a time, whose limits are found in one lane each.
template <ActForm Form, size_t V>
inline void quantize_groups(const ActRows& x, const QuantizedRows& out) {
  constexpr float kTop = Form == ActForm::kInt8 ? 127.0f : static_cast<float>(kInt16Top);
  constexpr int kSpared = Form == ActForm::kInt8 ? ActGroup<V>::kQuads : 0;
  const size_t all = x.rows * (x.cols / ActGroup<V>::kSize);
  GroupCursor<V> reader(x, out);
  GroupCursor<V> writer(x, out);
  for (size_t begin = 0; begin < all; begin += 16) {
    const size_t count = all - begin < 16 ? all - begin : 16;
    QuadMaxima quads[16];
    for (size_t i = 0; i < 16; ++i) {
      quads[i] = {set1(0), set1(0)};
      if (i >= count) continue;
      quads[i] = quad_maxima(ActGroup<V>(reader.x()));
      reader.next();
    }
    const ActScales scales(act_limits<kSpared, V>(quads), kTop);
    for (size_t i = 0; i < count; ++i, writer.next()) {
      if constexpr (kSpared > 0) name_quads<V>(quads[i], scales.limit[i], writer.lines());
      out.minus_sums[writer.at()] =
          put_group<Form, V>(writer.x(), scales.inverse[i], writer.codes());
      out.scales[writer.at()] = scales.scale[i];
    }
  }
}

template <size_t V>
inline void quantize_groups(const ActRows& x, const QuantizedRows& out) {
  if (out.form == ActForm::kInt8) return quantize_groups<ActForm::kInt8, V>(x, out);
  quantize_groups<ActForm::kInt16, V>(x, out);
}

// Parts of some rows, whole groups.
inline void quantize(const ActRows& x, const QuantizedRows& out) {
  switch (out.group) {
    case 128:
      return quantize_groups<8>(x, out);
    case 64:
      return quantize_groups<4>(x, out);
    default:
      return quantize_groups<2>(x, out);
  }
}

}  // namespace
