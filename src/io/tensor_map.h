#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace bitcpm {

// One tensor as a checkpoint file stores it: a view into the mapped file.
struct StoredTensor {
  std::string dtype_name;            // as the file spells it: "BF16", "FloatStorage", "I64", …
  std::optional<DType> dtype;        // absent: a type that no weight of ours has
  std::vector<std::int64_t> shape;   // row-major, all >= 0; empty for a scalar
  std::span<const std::byte> bytes;  // contiguous, little-endian, of any alignment
};

// Readers promise: product(shape) * element size == bytes.size(), computed without overflow.
using TensorMap = std::map<std::string, StoredTensor, std::less<>>;

}  // namespace bitcpm
