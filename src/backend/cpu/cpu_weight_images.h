#pragma once

#include <memory>
#include <vector>

#include "backend/weight_image.h"
#include "tensor/arena.h"

namespace bitcpm {

// The layouts of FieldWeight and HeadWeight, of which `exact` has no use for HeadWeight's.
class CpuWeightImages final : public WeightImages {
 public:
  CpuWeightImages(bool fast, Arena& arena) : fast_(fast), arena_(&arena) {}

  bool serves(const ImageInfo& info, ImageUse use) const override;
  std::vector<SectionSize> sections(const ImageInfo& info) const override;
  Buffer allocate(std::size_t bytes) override { return arena_->take(bytes); }
  std::unique_ptr<PreparedWeight> adopt(const ImageInfo& info,
                                        std::vector<Buffer> sections) override;

 private:
  bool fast_;
  Arena* arena_;
};

}  // namespace bitcpm
