#pragma once

#include "kernels/shared/act_planes.h"
#include "kernels/shared/act_range.h"

// Quantisation of activations, written once over the dot16.h of the including level.
namespace {

using bitcpm::kernels::ActForm;
using bitcpm::kernels::ActRows;
using bitcpm::kernels::QuantizedRows;

// The magnitude that the largest code of a group stands for, and the names of its quads. A NaN if
// the group holds an infinity, or values that no model has, so that nonsense stays visible.
template <ActForm Form, size_t V>
inline float find_limit(const float* x, uint8_t* lines) {
  constexpr float kLargest = 1e30f;
  const ActGroup<V> group(x);
  const QuadMaxima quads = quad_maxima(group);
  const float largest = quads.largest();
  const bool sane = largest <= kLargest;
  float limit = largest;
  if (Form == ActForm::kInt8) {
    if (sane) limit = range_sparing(quads, largest, ActGroup<V>::kQuads);
    name_quads<V>(quads, limit, lines);
  }
  return sane ? limit : __builtin_nanf("");
}

// One group: scale = limit / top and value = round(x * (top / limit)), top being 127 or 32,384.
// Groups that are next to nothing are zero. Scales are so far from the ends of the floats' range
// that a power of two shows in no bit of what follows.
template <ActForm Form, size_t V>
inline void put_group(const float* x, float limit, int8_t* codes, float* scale,
                      int32_t* minus_sum) {
  constexpr float kSmallest = 1e-20f;
  constexpr float kTop = Form == ActForm::kInt8 ? 127.0f : static_cast<float>(kInt16Top);
  const bool some = limit >= kSmallest;
  const F16x inverse = set1(some ? kTop / limit : 0.0f);
  const ActGroup<V> group(x);
  F16x sum = set1(0);
#pragma GCC unroll 4
  for (size_t v = 0; v < V; v += 2) {
    const F16x a = some ? mul(group.x[v], inverse) : set1(0);
    const F16x b = some ? mul(group.x[v + 1], inverse) : set1(0);
    int8_t* first = codes + 16 * v;
    sum = add(sum, put_planes<Form>(a, b, first, first + ActGroup<V>::kSize));
  }
  *scale = some ? limit / kTop : limit < kSmallest ? 0.0f : limit;
  *minus_sum = -static_cast<int32_t>(reduce_add(sum));  // integers below 2^24: exact
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

// Limits of some groups are found before the first of these is written: one waits for nothing but
// itself, step by step.
constexpr size_t kGroupsAtOnce = 8;

template <ActForm Form, size_t V>
inline void quantize_groups(const ActRows& x, const QuantizedRows& out) {
  const size_t all = x.rows * (x.cols / ActGroup<V>::kSize);
  GroupCursor<V> reader(x, out);
  GroupCursor<V> writer(x, out);
  for (size_t begin = 0; begin < all; begin += kGroupsAtOnce) {
    const size_t count = all - begin < kGroupsAtOnce ? all - begin : kGroupsAtOnce;
    float limits[kGroupsAtOnce];
    for (size_t i = 0; i < count; ++i, reader.next()) {
      uint8_t* lines = Form == ActForm::kInt8 ? reader.lines() : nullptr;
      limits[i] = find_limit<Form, V>(reader.x(), lines);
    }
    for (size_t i = 0; i < count; ++i, writer.next()) {
      put_group<Form, V>(writer.x(), limits[i], writer.codes(), out.scales + writer.at(),
                         out.minus_sums + writer.at());
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
