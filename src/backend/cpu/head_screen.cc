#include "backend/cpu/head_screen.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace bitcpm {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr std::size_t kPanelsPerClaim = 16;
constexpr int kMostSkipped = 256;

// The k-th largest of some lower bounds, fed one by one. heap: memory to use
class KthLargest {
 public:
  KthLargest(std::size_t k, std::vector<float>& heap) : heap_(heap) {
    heap_.assign(k, kMinusInfinity);
  }
  void add(float value) {
    if (!(value > heap_.front())) return;
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.back() = value;
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  float value() const { return heap_.front(); }

 private:
  std::vector<float>& heap_;  // its front is the smallest
};

}  // namespace

bool HeadScreen::worth_trying() {
  if (skip_ == 0) return true;
  --skip_;
  return false;
}

void HeadScreen::find_group_norms(const HeadWeight& head, const CpuLinearInput& x,
                                  std::int64_t rows) {
  const auto width = static_cast<std::size_t>(head.group());
  const auto groups = static_cast<std::size_t>(head.cols()) / width;
  group_norms_.resize(static_cast<std::size_t>(rows) * groups);
  for (std::int64_t t = 0; t < rows; ++t) {
    const kernels::QuantizedRows row = x.quantized_from(t);
    for (std::size_t g = 0; g < groups; ++g) {
      double squares = 0;
      for (std::size_t k = g * width; k < (g + 1) * width; ++k) {
        const double value = code_value(row, k);
        squares += value * value;
      }
      group_norms_[static_cast<std::size_t>(t) * groups + g] =
          static_cast<float>(std::sqrt(squares) * 1.000001);  // no smaller, once rounded
    }
  }
}

void HeadScreen::score(const kernels::KernelTable& table, ThreadPool& pool, const HeadWeight& head,
                       const CpuLinearInput& x, TensorView out) {
  const std::size_t groups = group_norms_.size() / static_cast<std::size_t>(out.rows);
  stride_ = head.panels() * kernels::kFieldRows;
  bounds_.resize(static_cast<std::size_t>(out.rows) * stride_);
  pool.parallel_for(head.panels(), kPanelsPerClaim, [&](std::size_t begin, std::size_t end) {
    head.screen(table, begin, end, x, out);
    for (std::size_t t = 0; t < static_cast<std::size_t>(out.rows); ++t) {
      for (std::size_t panel = begin; panel < end; ++panel) {
        head.bounds(table, panel, group_norms_.data() + t * groups,
                    bounds_.data() + t * stride_ + panel * kernels::kFieldRows);
      }
    }
  });
}

void HeadScreen::mark_panels(TensorView out, std::int32_t top) {
  marked_.assign(stride_ / kernels::kFieldRows, 0);
  for (std::int64_t t = 0; t < out.rows; ++t) {
    const float* score = out.row(t);
    const float* bound = bounds_.data() + static_cast<std::size_t>(t) * stride_;
    const auto vocab = static_cast<std::size_t>(out.cols);
    KthLargest lower(static_cast<std::size_t>(top), largest_);
    for (std::size_t r = 0; r < vocab; ++r) lower.add(score[r] - bound[r]);
    const float threshold = lower.value();
    for (std::size_t r = 0; r < vocab; ++r) {
      if (score[r] + bound[r] >= threshold) marked_[r / kernels::kFieldRows] = 1;
    }
  }
}

void HeadScreen::top_logits(const kernels::KernelTable& table, ThreadPool& pool,
                            const HeadWeight& head, const CpuLinearInput& x, std::int32_t top,
                            TensorView out) {
  find_group_norms(head, x, out.rows);
  score(table, pool, head, x, out);
  mark_panels(out, top);
  pool.parallel_for(head.panels(), kPanelsPerClaim, [&](std::size_t begin, std::size_t end) {
    for (std::size_t panel = begin; panel < end; ++panel) {
      if (marked_[panel] != 0) {
        head.multiply(table, panel, panel + 1, x, 0, out);
        continue;
      }
      const auto first = static_cast<std::int64_t>(panel * kernels::kFieldRows);
      const auto last = std::min<std::int64_t>(out.cols, first + kernels::kFieldRows);
      for (std::int64_t t = 0; t < out.rows; ++t) {
        std::fill(out.row(t) + first, out.row(t) + last, kMinusInfinity);
      }
    }
  });
  // The screen reads 4.5 bits per weight and the product 8.25; it has paid if fewer than this share
  // of the panels had to be multiplied after all.
  constexpr double kBreakEven = 0.4;
  const auto marked = static_cast<double>(std::count(marked_.begin(), marked_.end(), 1));
  const bool paid = marked < kBreakEven * static_cast<double>(marked_.size());
  penalty_ = paid ? 0 : std::min(kMostSkipped, 2 * penalty_ + 8);
  skip_ = penalty_;
}

}  // namespace bitcpm
