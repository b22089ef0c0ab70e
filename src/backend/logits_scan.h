#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace bitcpm {

// How many of a row's logits are at least `threshold`, and the sum of their weights.
struct LogitsProbe {
  float threshold = 0;
  std::size_t count = 0;
  double mass = 0;
};

// What sampling does to whole rows of logits in host memory. Pure functions, from any thread; the
// same bits on every CPU level. A NaN among the logits is not at least anything.
class LogitsScan {
 public:
  static constexpr std::size_t kBlock = 1024;  // logits per sum and maximum
  static constexpr std::size_t kProbes = 4;

  static constexpr std::size_t blocks(std::size_t n) { return (n + kBlock - 1) / kBlock; }
  static constexpr std::size_t padded(std::size_t n) { return (n + 15) / 16 * 16; }

  virtual ~LogitsScan() = default;

  // maxima: [blocks(n)] the largest of each block; minus infinity if there is no larger one
  virtual void maxima(std::span<const float> logits, std::span<float> maxima) const = 0;

  // How many are at least `threshold`.
  virtual std::size_t count(std::span<const float> logits, float threshold) const = 0;

  // weights[i] = exp((logits[i] - max) * inverse_temperature), 0 if less than exp(-87).
  // weights: [padded(n)]; sums: [blocks(n)] of each block's weights
  virtual void weigh(std::span<const float> logits, float max, float inverse_temperature,
                     std::span<float> weights, std::span<float> sums) const = 0;

  // Counts and masses of several thresholds in one pass. weights: [padded(n)]
  virtual void probe(std::span<const float> logits, std::span<const float> weights,
                     std::array<LogitsProbe, kProbes>& probes) const = 0;

  // sums: [blocks(n)] of the weights whose logits are at least `threshold`
  virtual void sums_at_least(std::span<const float> logits, std::span<const float> weights,
                             float threshold, std::span<float> sums) const = 0;

  // Writes the indices of the logits in [least, below), ascending, until `indices` is full; how
  // many. A `below` of NaN is no bound.
  virtual std::size_t gather(std::span<const float> logits, float least, float below,
                             std::span<std::int32_t> indices) const = 0;
};

}  // namespace bitcpm
