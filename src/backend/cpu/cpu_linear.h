#pragma once

#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "backend/cpu/cpu_linear_input.h"
#include "backend/cpu/cpu_weight.h"
#include "base/thread_pool.h"
#include "kernels/table.h"

namespace bitcpm {

// Backend::linear: the panels of all targets shared out over the pool.
void multiply(const kernels::KernelTable& table, ThreadPool& pool, const CpuLinearInput& x,
              std::span<const LinearTarget> targets);

struct GatedWeights {
  const CpuWeight& gate;
  const CpuWeight& up;
};

// Backend::gated_linear: both products of some rows and tokens, then silu(gate) * up straight into
// the form the next product reads; the products themselves never leave the cache.
void multiply_gated(const kernels::KernelTable& table, ThreadPool& pool, const CpuLinearInput& x,
                    std::int64_t rows, const GatedWeights& weights, CpuLinearInput& out);

}  // namespace bitcpm
