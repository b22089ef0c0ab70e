#include "engine/step_log.h"

#include <algorithm>

namespace bitcpm {

void StepTotals::count(std::int32_t step_tokens) {
  ++steps;
  tokens += step_tokens;
  const auto bound = std::lower_bound(kTokenBounds.begin(), kTokenBounds.end() - 1, step_tokens);
  ++steps_by_tokens[static_cast<std::size_t>(bound - kTokenBounds.begin())];
}

}  // namespace bitcpm
