#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cpu/cpu_linear_input.h"
#include "backend/cpu/screened_head.h"
#include "base/thread_pool.h"
#include "kernels/table.h"

namespace bitcpm {

// Finds the largest logits of a few rows from a part of the head's bytes: estimates, bounds of
// their error, and the product only for panels that may hold one of the k largest. Those that look
// best are multiplied first, since the others then have to beat logits instead of estimates. What
// it returns are the bits of multiply().
class HeadScreen {
 public:
  // Whether so many logits are likely to lie in few panels, and screening has lately saved more
  // than it cost; it is tried again now and then. Changes nothing but time.
  bool worth_trying(const ScreenedHead& head, std::int64_t rows, std::int32_t top);

  // out: [rows, vocab]; of each row at least the `top` largest logits, ties included; minus
  // infinity elsewhere. top >= 1
  void top_logits(const kernels::KernelTable& table, ThreadPool& pool, const ScreenedHead& head,
                  const CpuLinearInput& x, std::int32_t top, TensorView out);

 private:
  // The arguments of top_logits().
  struct Call {
    const kernels::KernelTable& table;
    ThreadPool& pool;
    const ScreenedHead& head;
    const CpuLinearInput& x;
    std::size_t top;
    TensorView out;
    std::size_t panels;
  };
  void estimate(const Call& call);  // ceiling_ of all panels; leaves minus infinity in call.out
  void mark_best(const Call& call);
  void mark_rivals(const Call& call);
  void multiply_marked(const Call& call);
  void learn(const Call& call);

  enum class Panel : std::uint8_t { kEstimated, kMarked, kMultiplied };
  std::vector<float> norms_;    // [rows, head.norm_count()]
  std::vector<float> ceiling_;  // [rows, panels] what no logit of a panel exceeds
  std::vector<Panel> state_;    // [panels]
  std::vector<std::size_t> marked_;
  std::vector<float> largest_;  // scratch of KthLargest
  int skip_ = 0;                // calls to sit out
  int penalty_ = 0;             // how many the next failure costs
};

}  // namespace bitcpm
