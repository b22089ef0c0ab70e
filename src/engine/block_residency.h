#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitcpm {

// What vLLM's vllm:kv_block_* histograms show, with their buckets
// (vllm/v1/core/kv_cache_metrics.py). Seconds. A block's life begins when it is handed out and ends
// when it is handed out again; it is used by being taken up for another request, not by being read.
struct BlockResidencyTotals {
  static constexpr std::array<double, 21> kBounds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
                                                     0.2,   0.5,   1,     2,    5,    10,   20,
                                                     30,    60,    120,   300,  600,  1200, 1800};
  struct Spread {
    std::array<std::int64_t, kBounds.size() + 1> counts{};  // the last: above every bound
    double sum = 0;

    void observe(double seconds);
  };
  Spread lifetime;
  Spread idle_before_evict;  // since it was last used
  Spread reuse_gap;          // between its last four uses
};

// Follows the lives of a random share of the blocks of a pool. Told the time, not asking for it.
// Not thread-safe; allocates nothing after construction, and nothing at all for a share of 0.
class BlockResidency {
 public:
  // share: of the lives, [0, 1].
  BlockResidency(std::int32_t num_blocks, double share);

  void set_time(double seconds) { now_ = seconds; }  // from any start, never backwards

  void handed_out(std::int32_t block) {
    if (!lives_.empty()) begin(block);
  }
  void taken_up(std::int32_t block) {
    if (!lives_.empty()) use(block);
  }
  void forget_all();  // lives that go on are not counted

  const BlockResidencyTotals& totals() const { return totals_; }

 private:
  struct Life {
    bool is_followed = false;
    std::uint8_t num_uses = 0;
    double birth = 0;
    double last_use = 0;
    std::array<double, 4> uses{};  // the latest, oldest first
  };

  void begin(std::int32_t block);
  void use(std::int32_t block);
  void count(const Life& life);

  double share_;
  double now_ = 0;
  std::uint64_t draws_ = 0;
  std::vector<Life> lives_;  // by block
  BlockResidencyTotals totals_;
};

}  // namespace bitcpm
