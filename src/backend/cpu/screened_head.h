#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/cpu_weight.h"

namespace bitcpm {

// A head whose logits can be estimated from fewer bytes than multiply() reads, with a bound of the
// error for every row. Panels are those of the estimate: kernels::kFieldRows rows.
class ScreenedHead : public CpuWeight {
 public:
  // Floats that bounds() needs of one row of activations.
  virtual std::size_t norm_count() const = 0;
  virtual void find_norms(const CpuLinearInput& x, std::int64_t t, float* norms) const = 0;

  // About multiply(), for all rows of x from the first on.
  virtual void screen(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                      const CpuLinearInput& x, TensorView out) const = 0;

  // out[r], r < 64: how far screen() may be from multiply() for the rows of one panel, rounding
  // included.
  virtual void bounds(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                      float* out) const = 0;
};

}  // namespace bitcpm
