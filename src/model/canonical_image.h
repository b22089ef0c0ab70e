#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/weight_image.h"
#include "io/packed_manifest.h"
#include "tensor/quantized_matrix.h"

namespace bitcpm {

// The one layout of packed files that belongs to no backend: QuantizedMatrix's own memory, "codes"
// and, if it is ternary, "scales".
inline constexpr std::string_view kCanonicalLayout = "rows";

struct MatrixShape {
  std::int64_t rows;
  std::int64_t cols;
};

// A norm is one row.
MatrixShape shape_of(const PackedTensor& tensor);

std::vector<SectionSize> canonical_sections(const PackedTensor& tensor);

// Requires: buffers at least as large as canonical_sections() says.
QuantizedMatrix canonical_matrix(const PackedTensor& tensor, std::vector<Buffer> sections);

// Views `matrix`.
WeightImage canonical_image(const QuantizedMatrix& matrix);

}  // namespace bitcpm
