#pragma once

#include <cstdint>

#include "backend/batch_view.h"
#include "backend/cpu/cpu_kv_cache.h"
#include "backend/cpu/cpu_linear_input.h"
#include "base/thread_pool.h"
#include "kernels/table.h"

namespace bitcpm {

// The sequence whose rows include `row`: the last that begins at or before it.
const SequenceSlice& sequence_of(const BatchView& batch, std::int64_t row);

struct CpuAttention {
  TensorView q;  // [tokens, heads * head_dim]
  const BatchView& batch;
  const CpuKvCache& cache;
  std::int32_t layer;
  float scale;
};

// out = softmax(scale q K^T, causal) V, see Backend::paged_attention. Every row is computed from
// the same parts of its context, merged in the same order, whoever computes them.
void attend(const kernels::KernelTable& table, ThreadPool& pool, const CpuAttention& attention,
            CpuLinearInput& out);

}  // namespace bitcpm
