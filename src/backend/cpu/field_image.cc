// FieldWeight as sections of a file, and the ternary layout turned back into canonical codes.

#include <algorithm>
#include <string>
#include <utility>

#include "backend/cpu/field_layout.h"
#include "backend/cpu/field_weight.h"

namespace bitcpm {
namespace {

using kernels::kFieldRows;

// Codes of row 64 panel + r from the lines of its panel: of each line, four bytes hold the row's
// four in-features, and in each of them the field's two bits.
void unpack_row(const std::uint8_t* lines, std::size_t r, std::size_t width, std::uint8_t* codes) {
  const std::uint8_t* in = lines + 4 * (r % kFieldLanes);
  const std::size_t shift = 2 * (r / kFieldLanes);
  for (std::size_t i = 0; i < width; ++i, in += kFieldRows) {
    std::uint32_t byte = 0;
    for (std::size_t j = 0; j < 4; ++j) byte |= ((in[j] >> shift) & 3u) << 2 * j;
    codes[i] = static_cast<std::uint8_t>(byte);
  }
}

}  // namespace

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

Result<QuantizedMatrix> FieldWeight::restore_ternary(const ImageInfo& info,
                                                     std::span<const Buffer> sections,
                                                     ThreadPool& pool) {
  BITCPM_CHECK(info.layout == kTernaryLayout && sections.size() == 2);
  const auto rows = static_cast<std::size_t>(info.rows);
  const std::size_t width = static_cast<std::size_t>(info.cols) / 4;
  const auto groups = static_cast<std::size_t>(info.cols / info.group);
  QuantizedMatrix matrix{.form = WeightForm::kTernary,
                         .rows = info.rows,
                         .cols = info.cols,
                         .group = info.group,
                         .codes = Buffer::allocate(rows * width),
                         .scales = Buffer::allocate(rows * groups * 2)};
  if (matrix.codes.size() == 0 || matrix.scales.size() == 0) {
    return Error{Errc::kExhausted, "no memory for a weight of " + std::to_string(info.rows) +
                                       " x " + std::to_string(info.cols)};
  }
  const auto* lines = sections[0].as<std::uint8_t>();
  const auto* in = sections[1].as<std::uint16_t>();
  auto* codes = matrix.codes.as<std::uint8_t>();
  auto* scales = matrix.scales.as<std::uint16_t>();
  pool.parallel_for(field_panels(info.rows), 1, [&](std::size_t panel, std::size_t) {
    for (std::size_t r = 0; r < kFieldRows && panel * kFieldRows + r < rows; ++r) {
      const std::size_t row = panel * kFieldRows + r;
      unpack_row(lines + panel * width * kFieldRows, r, width, codes + row * width);
      for (std::size_t g = 0; g < groups; ++g) {
        scales[row * groups + g] = in[(panel * groups + g) * kFieldRows + r];
      }
    }
  });
  return matrix;
}

}  // namespace bitcpm
