// FieldWeight as sections of a file.

#include <string>
#include <utility>

#include "backend/cpu/field_layout.h"
#include "backend/cpu/field_weight.h"

namespace bitcpm {

using kernels::kFieldRows;

std::vector<SectionSize> FieldWeight::sections_of(const ImageInfo& info) {
  if (info.layout != kTernaryLayout) return {};
  if (info.rows < 1 || info.cols < 1 || info.group < 1 || info.group % 32 != 0 ||
      info.cols % info.group != 0) {
    return {};
  }
  const std::size_t padded = field_panels(info.rows) * kFieldRows;
  const auto cols = static_cast<std::size_t>(info.cols);
  return {{"lines", padded * cols / 4},
          {"scales", padded * (cols / static_cast<std::size_t>(info.group)) * 2}};
}

std::unique_ptr<PreparedWeight> FieldWeight::adopt(const ImageInfo& info,
                                                   std::vector<Buffer> sections) {
  std::unique_ptr<FieldWeight> weight(new FieldWeight);
  weight->rows_ = info.rows;
  weight->cols_ = info.cols;
  weight->group_ = info.group;
  weight->lines_ = std::move(sections[0]);
  weight->scales_ = std::move(sections[1]);
  return weight;
}

WeightImage FieldWeight::image() const {
  return {{std::string(kTernaryLayout), rows_, cols_, group_},
          {{"lines", lines_.bytes()}, {"scales", scales_.bytes()}}};
}

}  // namespace bitcpm
