#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "backend/cpu/cpu_linear_input.h"
#include "kernels/table.h"

namespace bitcpm {

// A weight matrix as some CPU kernel wants it: rows in panels, the unit in which threads share out
// a product.
class CpuWeight : public PreparedWeight {
 public:
  virtual std::size_t panels() const = 0;
  virtual std::int64_t panel_rows() const = 0;

  // What multiply() reads.
  virtual InputForm input_form() const = 0;

  // Whether a screen reads codes of 8 bits besides, of group() in-features at most.
  virtual bool screens_codes() const { return false; }

  // What multiply() reads most of, panel by panel.
  virtual std::span<const std::byte> stream() const = 0;

  // In-features that share a weight scale.
  virtual std::int64_t group() const { return cols(); }

  // out = x W^T for the rows of panels [first, last) and out.rows rows of x from `token` on.
  virtual void multiply(const kernels::KernelTable& table, std::size_t first, std::size_t last,
                        const CpuLinearInput& x, std::int64_t token, TensorView out) const = 0;

  // scale * row `row`, widened to f32: for embeddings.
  virtual void copy_row(std::int64_t row, float scale, float* out) const = 0;
};

}  // namespace bitcpm
