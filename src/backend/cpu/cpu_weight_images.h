#pragma once

#include <memory>
#include <vector>

#include "backend/weight_image.h"
#include "base/thread_pool.h"
#include "tensor/arena.h"

namespace bitcpm {

// The layouts of FieldWeight and HeadWeight, which `fast` runs as they are and `exact` turns back.
class CpuWeightImages final : public WeightImages {
 public:
  CpuWeightImages(bool fast, Arena& arena, ThreadPool& pool)
      : fast_(fast), arena_(&arena), pool_(&pool) {}

  bool serves(const ImageInfo& info, ImageUse use) const override;
  std::vector<SectionSize> sections(const ImageInfo& info) const override;
  Buffer allocate(std::size_t bytes) override { return arena_->take(bytes); }
  std::unique_ptr<PreparedWeight> adopt(const ImageInfo& info,
                                        std::vector<Buffer> sections) override;
  Result<QuantizedMatrix> restore(const ImageInfo& info, std::span<const Buffer> sections) override;

 private:
  bool fast_;
  Arena* arena_;
  ThreadPool* pool_;
};

}  // namespace bitcpm
