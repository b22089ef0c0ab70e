#pragma once

#include "backend/logits_scan.h"
#include "kernels/table.h"

namespace bitcpm {

// LogitsScan by the kernels of one CPU level.
class CpuLogitsScan final : public LogitsScan {
 public:
  explicit CpuLogitsScan(const kernels::KernelTable& table) : table_(table) {}

  void maxima(std::span<const float> logits, std::span<float> maxima) const override;
  std::size_t count(std::span<const float> logits, float threshold) const override;
  void weigh(std::span<const float> logits, float max, float inverse_temperature,
             std::span<float> weights, std::span<float> sums) const override;
  void probe(std::span<const float> logits, std::span<const float> weights,
             std::array<LogitsProbe, kProbes>& probes) const override;
  void sums_at_least(std::span<const float> logits, std::span<const float> weights, float threshold,
                     std::span<float> sums) const override;
  std::size_t gather(std::span<const float> logits, float least, float below,
                     std::span<std::int32_t> indices) const override;

 private:
  kernels::KernelTable table_;
};

}  // namespace bitcpm
