#include "backend/cpu/head_screen.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "backend/cpu/field_layout.h"

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

void HeadScreen::score(const kernels::KernelTable& table, ThreadPool& pool,
                       const ScreenedHead& head, const CpuLinearInput& x, TensorView out) {
  const std::size_t norms = head.norm_count();
  norms_.resize(static_cast<std::size_t>(out.rows) * norms);
  for (std::int64_t t = 0; t < out.rows; ++t) {
    head.find_norms(x, t, norms_.data() + static_cast<std::size_t>(t) * norms);
  }
  const std::size_t panels = field_panels(head.rows());
  stride_ = panels * kernels::kFieldRows;
  bounds_.resize(static_cast<std::size_t>(out.rows) * stride_);
  pool.parallel_for(panels, kPanelsPerClaim, [&](std::size_t begin, std::size_t end) {
    head.screen(table, begin, end, x, out);
    for (std::size_t t = 0; t < static_cast<std::size_t>(out.rows); ++t) {
      for (std::size_t panel = begin; panel < end; ++panel) {
        head.bounds(table, panel, norms_.data() + t * norms,
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
      const bool below = score[r] + bound[r] < threshold;  // no NaN is
      if (!below) marked_[r / kernels::kFieldRows] = 1;
    }
  }
}

void HeadScreen::top_logits(const kernels::KernelTable& table, ThreadPool& pool,
                            const ScreenedHead& head, const CpuLinearInput& x, std::int32_t top,
                            TensorView out) {
  score(table, pool, head, x, out);
  mark_panels(out, top);
  // Panels of the product in one of the screen.
  const auto each = kernels::kFieldRows / static_cast<std::size_t>(head.panel_rows());
  pool.parallel_for(marked_.size(), kPanelsPerClaim, [&](std::size_t begin, std::size_t end) {
    for (std::size_t panel = begin; panel < end; ++panel) {
      if (marked_[panel] != 0) {
        head.multiply(table, panel * each, std::min(head.panels(), (panel + 1) * each), x, 0, out);
        continue;
      }
      const auto first = static_cast<std::int64_t>(panel * kernels::kFieldRows);
      const auto last = std::min<std::int64_t>(out.cols, first + kernels::kFieldRows);
      for (std::int64_t t = 0; t < out.rows; ++t) {
        std::fill(out.row(t) + first, out.row(t) + last, kMinusInfinity);
      }
    }
  });
  // A screen reads 4.5 bits per weight for a product's 8.25, or 9 for 16; it has paid if fewer than
  // this share of the panels had to be multiplied after all.
  constexpr double kBreakEven = 0.4;
  const auto marked = static_cast<double>(std::count(marked_.begin(), marked_.end(), 1));
  const bool paid = marked < kBreakEven * static_cast<double>(marked_.size());
  penalty_ = paid ? 0 : std::min(kMostSkipped, 2 * penalty_ + 8);
  skip_ = penalty_;
}

}  // namespace bitcpm
