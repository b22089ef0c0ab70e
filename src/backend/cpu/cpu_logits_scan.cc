#include "backend/cpu/cpu_logits_scan.h"

#include "base/check.h"

namespace bitcpm {

static_assert(LogitsScan::kBlock == kernels::kLogitsBlock);
static_assert(LogitsScan::kProbes == kernels::kLogitsProbes);

void CpuLogitsScan::maxima(std::span<const float> logits, std::span<float> maxima) const {
  BITCPM_CHECK(maxima.size() >= blocks(logits.size()));
  table_.logits_maxima(logits.data(), logits.size(), maxima.data());
}

std::size_t CpuLogitsScan::count(std::span<const float> logits, float threshold) const {
  return table_.logits_count(logits.data(), logits.size(), threshold);
}

void CpuLogitsScan::weigh(std::span<const float> logits, float max, float inverse_temperature,
                          std::span<float> weights, std::span<float> sums) const {
  BITCPM_CHECK(weights.size() >= padded(logits.size()) && sums.size() >= blocks(logits.size()));
  table_.logits_weights(logits.data(), logits.size(), max, inverse_temperature, weights.data(),
                        sums.data());
}

void CpuLogitsScan::probe(std::span<const float> logits, std::span<const float> weights,
                          std::array<LogitsProbe, kProbes>& probes) const {
  BITCPM_CHECK(weights.size() >= padded(logits.size()));
  kernels::LogitsProbe found[kProbes];
  for (std::size_t p = 0; p < kProbes; ++p) found[p] = {probes[p].threshold, 0, 0};
  table_.logits_probe(logits.data(), weights.data(), logits.size(), found);
  for (std::size_t p = 0; p < kProbes; ++p) {
    probes[p] = {found[p].threshold, found[p].count, found[p].mass};
  }
}

void CpuLogitsScan::sums_at_least(std::span<const float> logits, std::span<const float> weights,
                                  float threshold, std::span<float> sums) const {
  BITCPM_CHECK(weights.size() >= padded(logits.size()) && sums.size() >= blocks(logits.size()));
  table_.logits_sums(logits.data(), weights.data(), logits.size(), threshold, sums.data());
}

std::size_t CpuLogitsScan::gather(std::span<const float> logits, float least, float below,
                                  std::span<std::int32_t> indices) const {
  return table_.logits_gather(logits.data(), logits.size(), least, below, indices.size(),
                              indices.data());
}

}  // namespace bitcpm
