#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "base/json.h"

namespace bitcpm {

// A measure of a comparison that a flag may bound.
enum class Bound {
  kMaxKl,
  kMaxPplChange,
  kMinCosine,
  kMinWorstCosine,
  kMaxMse,
  kMaxAbs,
  kMinTop1,
  kMinTop5,
  kCount
};

using BoundLimits = std::array<std::optional<float>, static_cast<std::size_t>(Bound::kCount)>;

// The flag of a bound, its help, and whether it is a least value.
struct BoundFlag {
  Bound bound;
  const char* flag;
  const char* help;
  bool is_least;
};
std::span<const BoundFlag> bound_flags();

struct CheckedBound {
  const BoundFlag* flag;
  double limit;
  double value;
  bool passed() const { return flag->is_least ? value >= limit : value <= limit; }  // NaN: no
};

// The limits that were given, and what there is.
std::vector<CheckedBound> check_bounds(const BoundLimits& limits,
                                       FunctionRef<double(Bound)> value_of);
json::array bounds_json(std::span<const CheckedBound> checked);

// Names the broken ones on standard error; true if there is none.
bool report_bounds(std::span<const CheckedBound> checked);

}  // namespace bitcpm
