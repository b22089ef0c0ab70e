#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "measure/drift.h"
#include "measure/logits_source.h"
#include "measure/perplexity.h"

namespace bitcpm {

// The loss of every window. Errors: the source's.
Result<std::vector<WindowLoss>> score_windows(LogitsSource& source,
                                              std::span<const EvalWindow> windows,
                                              RowProgress progress);

struct LogitsComparison {
  DriftMeter drift;                   // over every row of every window
  std::vector<WindowLoss> want, got;  // of every window
};

// `got` measured against `want`; both have the same vocabulary. Errors: the sources'.
Result<LogitsComparison> compare_logits(LogitsSource& want, LogitsSource& got,
                                        std::span<const EvalWindow> windows, RowProgress progress);

}  // namespace bitcpm
