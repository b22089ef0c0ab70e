#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cpu/cpu_linear_input.h"
#include "backend/cpu/head_weight.h"
#include "base/thread_pool.h"
#include "kernels/table.h"

namespace bitcpm {

// Finds the largest logits of a few rows from half of the head's bytes: scores from the upper
// nibbles, bounds of their error, and the whole 8-bit product only for panels that may hold one of
// the k largest. What it returns there are the bits of HeadWeight::multiply().
class HeadScreen {
 public:
  static constexpr std::int64_t kMostRows = 4;  // beyond, the product is no longer bound by memory
  static constexpr std::int32_t kMostTop = 64;

  // Whether screening has lately saved more than it cost; it is tried again now and then. Changes
  // nothing but time.
  bool worth_trying();

  // out: [rows, vocab]; of each row at least the `top` largest logits, ties included; minus
  // infinity elsewhere. rows <= kMostRows, 1 <= top <= kMostTop.
  void top_logits(const kernels::KernelTable& table, ThreadPool& pool, const HeadWeight& head,
                  const CpuLinearInput& x, std::int32_t top, TensorView out);

 private:
  void find_group_norms(const HeadWeight& head, const CpuLinearInput& x, std::int64_t rows);
  void score(const kernels::KernelTable& table, ThreadPool& pool, const HeadWeight& head,
             const CpuLinearInput& x, TensorView out);
  void mark_panels(TensorView out, std::int32_t top);

  std::vector<float> group_norms_;  // [rows, groups]
  std::vector<float> bounds_;       // [rows, vocab rounded up to panels]
  std::vector<std::uint8_t> marked_;
  std::vector<float> largest_;  // scratch of mark_panels()
  std::size_t stride_ = 0;      // of bounds_
  int skip_ = 0;                // calls to sit out
  int penalty_ = 0;             // how many the next failure costs
};

}  // namespace bitcpm
