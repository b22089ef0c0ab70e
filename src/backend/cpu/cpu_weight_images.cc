#include "backend/cpu/cpu_weight_images.h"

#include "backend/cpu/field_weight.h"

namespace bitcpm {

bool CpuWeightImages::serves(const ImageInfo& info, ImageUse use) const {
  switch (use) {
    case ImageUse::kLinear:
      return fast_ && info.layout == FieldWeight::kTernaryLayout;
    case ImageUse::kHead:
      return fast_ && info.layout == FieldWeight::kInt8Layout;
    case ImageUse::kRestore:
      return info.layout == FieldWeight::kTernaryLayout;
  }
  return false;
}

std::vector<SectionSize> CpuWeightImages::sections(const ImageInfo& info) const {
  return FieldWeight::sections_of(info);
}

std::unique_ptr<PreparedWeight> CpuWeightImages::adopt(const ImageInfo& info,
                                                       std::vector<Buffer> sections) {
  return FieldWeight::adopt(info, std::move(sections));
}

Result<QuantizedMatrix> CpuWeightImages::restore(const ImageInfo& info,
                                                 std::span<const Buffer> sections) {
  return FieldWeight::restore_ternary(info, sections, *pool_);
}

}  // namespace bitcpm
