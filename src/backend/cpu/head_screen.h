#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cpu/cpu_linear_input.h"
#include "backend/cpu/screened_head.h"
#include "base/thread_pool.h"
#include "kernels/table.h"

namespace bitcpm {

// Finds the largest logits of a few rows from half of the head's bytes: estimates, bounds of their
// error, and the product only for panels that may hold one of the k largest. What it returns there
// are the bits of multiply().
class HeadScreen {
 public:
  static constexpr std::int32_t kMostTop = 64;

  // Whether screening has lately saved more than it cost; it is tried again now and then. Changes
  // nothing but time.
  bool worth_trying();

  // out: [rows, vocab]; of each row at least the `top` largest logits, ties included; minus
  // infinity elsewhere. rows <= kFewLogitsRows, 1 <= top <= kMostTop.
  void top_logits(const kernels::KernelTable& table, ThreadPool& pool, const ScreenedHead& head,
                  const CpuLinearInput& x, std::int32_t top, TensorView out);

 private:
  void score(const kernels::KernelTable& table, ThreadPool& pool, const ScreenedHead& head,
             const CpuLinearInput& x, TensorView out);
  void mark_panels(TensorView out, std::int32_t top);

  std::vector<float> norms_;   // [rows, head.norm_count()]
  std::vector<float> bounds_;  // [rows, vocab rounded up to panels]
  std::vector<std::uint8_t> marked_;
  std::vector<float> largest_;  // scratch of mark_panels()
  std::size_t stride_ = 0;      // of bounds_
  int skip_ = 0;                // calls to sit out
  int penalty_ = 0;             // how many the next failure costs
};

}  // namespace bitcpm
