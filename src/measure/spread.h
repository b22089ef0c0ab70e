#pragma once

#include <vector>

namespace bitcpm {

// What a few measurements of the same thing came to.
struct Spread {
  double median = 0;  // of an even number the mean of the middle two
  double min = 0;
  double max = 0;

  // The same of `factor / value` for every value: times to rates.
  Spread rate(double factor) const { return {factor / median, factor / max, factor / min}; }
};

Spread spread_of(std::vector<double> values);  // at least one

}  // namespace bitcpm
