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
  std::vector<SectionSize> sections = {{"norms", sizes.per_group},
                                       {"scales", sizes.per_group},
                                       {"high", sizes.plane},
                                       {"low", sizes.plane}};
  if (tied) sections.push_back({"fine", sizes.fine});
  return sections;
}

std::unique_ptr<PreparedWeight> HeadWeight::adopt(const ImageInfo& info,
                                                  std::vector<Buffer> sections) {
  std::unique_ptr<HeadWeight> weight(new HeadWeight);
  weight->rows_ = info.rows;
  weight->cols_ = info.cols;
  weight->group_ = info.group;
  weight->norms_ = std::move(sections[0]);
  weight->scales_ = std::move(sections[1]);
  weight->high_ = std::move(sections[2]);
  weight->low_ = std::move(sections[3]);
  if (sections.size() > 4) weight->fine_ = std::move(sections[4]);
  return weight;
}

WeightImage HeadWeight::image() const {
  const bool tied = fine_.size() > 0;
  WeightImage image{{std::string(tied ? kTiedLayout : kLayout), rows_, cols_, group_},
                    {{"norms", norms_.bytes()},
                     {"scales", scales_.bytes()},
                     {"high", high_.bytes()},
                     {"low", low_.bytes()}}};
  if (tied) image.sections.push_back({"fine", fine_.bytes()});
  return image;
}

}  // namespace bitcpm
