#pragma once

#include "kernels/shared/field_forms.h"

// For kernels that decode weights once for many tokens: what they decode at a time.
namespace {

using bitcpm::kernels::kActGroup;

constexpr size_t kChunkGroups = 4;  // activation groups at once, at most
constexpr size_t kGroupLines = kActGroup / 4;

// Consecutive activation groups within one weight group of a panel.
struct Chunk {
  size_t begin, count;     // count: 1, 2 or 4
  bool first, last;        // of the weight group
  const uint16_t* scales;  // [64] of the weight group

  bool whole() const { return first && last; }
};

template <class Weights>
inline Chunk chunk_at(const Weights& w, size_t panel, size_t begin) {
  const size_t group_size = w.group / kActGroup;
  const size_t group = begin / group_size;
  const size_t left = (group + 1) * group_size - begin;
  const size_t count = left >= 4 ? 4 : left >= 2 ? 2 : 1;
  return {begin, count, begin == group * group_size, count == left,
          w.scales + (panel * (w.cols / w.group) + group) * kFieldRows};
}

}  // namespace
