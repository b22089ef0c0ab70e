#pragma once

#include <cstddef>
#include <span>
#include <unordered_map>

#include "backend/cpu/cpu_weight.h"

namespace bitcpm {

// In which order weights are multiplied, as seen: the same in every pass of a model.
class WeightOrder {
 public:
  // Notes that `weight` is multiplied now. Returns what was read after it the last time, which need
  // not exist any more; empty if it is seen for the first time.
  std::span<const std::byte> next_after(const CpuWeight& weight) {
    if (last_ != nullptr) next_[last_] = weight.stream();
    last_ = &weight;
    const auto found = next_.find(&weight);
    return found == next_.end() ? std::span<const std::byte>() : found->second;
  }

 private:
  const CpuWeight* last_ = nullptr;
  std::unordered_map<const CpuWeight*, std::span<const std::byte>> next_;
};

}  // namespace bitcpm
