// HeadWeight as sections of a file.

#include <string>
#include <utility>

#include "backend/cpu/head_weight.h"

namespace bitcpm {

std::vector<SectionSize> HeadWeight::sections_of(const ImageInfo& info) {
  const bool tied = info.layout == kTiedLayout;
  if (!tied && info.layout != kLayout) return {};
  if (info.rows < 1 || info.cols < 1 || info.cols % 32 != 0 || info.group != group_of(info.cols)) {
    return {};
  }
  const Sizes sizes = sizes_of(info.rows, info.cols);
  std::vector<SectionSize> sections = {{"rests", sizes.rests},
                                       {"scales", sizes.scales},
                                       {"high01", sizes.high01},
                                       {"high2", sizes.high2},
                                       {"low", sizes.low}};
  if (tied) sections.push_back({"fine", sizes.fine});
  return sections;
}

std::unique_ptr<PreparedWeight> HeadWeight::adopt(const ImageInfo& info,
                                                  std::vector<Buffer> sections) {
  std::unique_ptr<HeadWeight> weight(new HeadWeight);
  weight->rows_ = info.rows;
  weight->cols_ = info.cols;
  weight->group_ = info.group;
  weight->rests_ = std::move(sections[0]);
  weight->scales_ = std::move(sections[1]);
  weight->high01_ = std::move(sections[2]);
  weight->high2_ = std::move(sections[3]);
  weight->low_ = std::move(sections[4]);
  if (sections.size() > 5) weight->fine_ = std::move(sections[5]);
  return weight;
}

WeightImage HeadWeight::image() const {
  BITCPM_CHECK(low_.size() > 0);
  const bool tied = fine_.size() > 0;
  WeightImage image{{std::string(tied ? kTiedLayout : kLayout), rows_, cols_, group_},
                    {{"rests", rests_.bytes()},
                     {"scales", scales_.bytes()},
                     {"high01", high01_.bytes()},
                     {"high2", high2_.bytes()},
                     {"low", low_.bytes()}}};
  if (tied) image.sections.push_back({"fine", fine_.bytes()});
  return image;
}

}  // namespace bitcpm
