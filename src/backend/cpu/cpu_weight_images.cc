#include "backend/cpu/cpu_weight_images.h"

#include "backend/cpu/field_weight.h"
#include "backend/cpu/head_weight.h"

namespace bitcpm {
namespace {

bool is_head(const ImageInfo& info) {
  return info.layout == HeadWeight::kLayout || info.layout == HeadWeight::kTiedLayout;
}

}  // namespace

bool CpuWeightImages::serves(const ImageInfo& info, ImageUse use) const {
  switch (use) {
    case ImageUse::kLinear:
      return info.layout == FieldWeight::kTernaryLayout;
    case ImageUse::kHead:
      return fast_ && info.layout == HeadWeight::kLayout;
    case ImageUse::kTiedHead:
      return fast_ && info.layout == HeadWeight::kTiedLayout;
  }
  return false;
}

std::vector<SectionSize> CpuWeightImages::sections(const ImageInfo& info) const {
  return is_head(info) ? HeadWeight::sections_of(info) : FieldWeight::sections_of(info);
}

std::unique_ptr<PreparedWeight> CpuWeightImages::adopt(const ImageInfo& info,
                                                       std::vector<Buffer> sections) {
  const std::vector<SectionSize> sizes = this->sections(info);
  BITCPM_CHECK(!sizes.empty() && sections.size() == sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    BITCPM_CHECK(sections[i].size() >= sizes[i].bytes);
  }
  return is_head(info) ? HeadWeight::adopt(info, std::move(sections))
                       : FieldWeight::adopt(info, std::move(sections));
}

}  // namespace bitcpm
