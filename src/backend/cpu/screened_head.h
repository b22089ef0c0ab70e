#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/cpu/cpu_weight.h"

namespace bitcpm {

// A head whose logits can be estimated from fewer bytes than multiply() reads, with a bound of what
// a panel has. Panels are those of the estimate: kernels::kFieldRows rows.
class ScreenedHead : public CpuWeight {
 public:
  // Of how many rows at once estimating is faster than multiplying.
  virtual std::int64_t most_screened_rows(const kernels::KernelTable& table) const = 0;

  // Floats that ceiling() needs of one row of activations.
  virtual std::size_t norm_count() const = 0;
  virtual void find_norms(const CpuLinearInput& x, std::int64_t t, float* norms) const = 0;

  // About multiply(), for all rows of x from the first on.
  virtual void screen(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                      const CpuLinearInput& x, TensorView out) const = 0;

  // What none of the logits of one panel and one row of activations exceeds, by what screen() gave
  // for them and how far that may be from multiply(), rounding included; infinity if one is no
  // number. estimates: of the panel's rows
  virtual float ceiling(const kernels::KernelTable& table, std::size_t panel, const float* norms,
                        std::span<const float> estimates) const = 0;
};

}  // namespace bitcpm
