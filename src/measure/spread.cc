#include "measure/spread.h"

#include <algorithm>

#include "base/check.h"

namespace bitcpm {

Spread spread_of(std::vector<double> values) {
  BITCPM_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

}  // namespace bitcpm
