#pragma once

#include "backend/backend.h"
#include "base/result.h"
#include "kernels/table.h"

namespace bitcpm {

// The best of a few short runs on `threads` threads of their own, so that a neighbour on the
// machine lowers it little. Memory is read in huge pages, every thread its own part, far more than
// the caches hold. Errors: kExhausted (no memory to read).
Result<DeviceLimits> measure_cpu_limits(const kernels::KernelTable& table, int threads);

}  // namespace bitcpm
