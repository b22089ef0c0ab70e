#include "model/canonical_image.h"

#include <string>
#include <utility>

namespace bitcpm {

MatrixShape shape_of(const PackedTensor& tensor) {
  return {tensor.shape.size() == 1 ? 1 : tensor.shape.front(), tensor.shape.back()};
}

std::vector<SectionSize> canonical_sections(const PackedTensor& tensor) {
  const MatrixShape shape = shape_of(tensor);
  const auto count = static_cast<std::size_t>(shape.rows) * static_cast<std::size_t>(shape.cols);
  switch (tensor.form) {
    case WeightForm::kTernary:
      return {{"codes", count / 4}, {"scales", count / static_cast<std::size_t>(tensor.group) * 2}};
    case WeightForm::kBf16:
      return {{"codes", count * 2}};
    case WeightForm::kF32:
      return {{"codes", count * 4}};
  }
  return {};
}

QuantizedMatrix canonical_matrix(const PackedTensor& tensor, std::vector<Buffer> sections) {
  const MatrixShape shape = shape_of(tensor);
  const std::vector<SectionSize> sizes = canonical_sections(tensor);
  // A file pads sections; a matrix has no more bytes than weights.
  const auto cut = [&](std::size_t i) {
    auto owner = std::make_shared<Buffer>(std::move(sections[i]));
    std::byte* data = owner->data();
    return Buffer::part_of(std::move(owner), data, sizes[i].bytes);
  };
  QuantizedMatrix matrix{tensor.form, shape.rows, shape.cols, tensor.group, cut(0), {}};
  if (sizes.size() > 1) matrix.scales = cut(1);
  return matrix;
}

WeightImage canonical_image(const QuantizedMatrix& matrix) {
  WeightImage image{{std::string(kCanonicalLayout), matrix.rows, matrix.cols, matrix.group},
                    {{"codes", matrix.codes.bytes()}}};
  if (matrix.scales.size() > 0) image.sections.push_back({"scales", matrix.scales.bytes()});
  return image;
}

}  // namespace bitcpm
