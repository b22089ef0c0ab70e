#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/weight_image.h"

namespace bitcpm {

// A weight matrix in the layout a backend's kernels want. Immutable.
class PreparedWeight {
 public:
  virtual ~PreparedWeight() = default;
  virtual std::int64_t rows() const = 0;
  virtual std::int64_t cols() const = 0;
  virtual std::size_t bytes() const = 0;
  virtual std::size_t product_bytes() const { return bytes(); }  // what one product reads of them
  // What Backend::top_logits() reads of a head before it multiplies.
  virtual std::size_t top_logits_bytes() const { return product_bytes(); }

  // For a file; views this weight.
  virtual WeightImage image() const { return {}; }
};

}  // namespace bitcpm
