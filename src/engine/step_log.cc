#include "engine/step_log.h"

#include <algorithm>

namespace bitcpm {

void StepTotals::count(std::int32_t step_tokens) {
  ++steps;
  tokens += step_tokens;
  const auto bound = std::lower_bound(kTokenBounds.begin(), kTokenBounds.end() - 1, step_tokens);
  ++steps_by_tokens[static_cast<std::size_t>(bound - kTokenBounds.begin())];
}

StepTotals StepTotals::operator-(const StepTotals& earlier) const {
  StepTotals since = *this;
  since.steps -= earlier.steps;
  since.tokens -= earlier.tokens;
  since.forward_seconds -= earlier.forward_seconds;
  since.sample_seconds -= earlier.sample_seconds;
  since.host_seconds -= earlier.host_seconds;
  for (std::size_t i = 0; i < steps_by_tokens.size(); ++i) {
    since.steps_by_tokens[i] -= earlier.steps_by_tokens[i];
  }
  return since;
}

}  // namespace bitcpm
