#include "backend/cpu/head_screen.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <span>

#include "backend/cpu/field_layout.h"
#include "backend/cpu/share_out.h"

namespace bitcpm {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kPanelsAtOnce = 16;
constexpr int kMostSkipped = 256;

// The k-th largest of some values, fed one by one. heap: memory to use
class KthLargest {
 public:
  KthLargest(std::size_t k, std::vector<float>& heap) : heap_(heap) { heap_.assign(k, -kInfinity); }
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

// The logits of panels [first, last) in a row; the last of all panels is not always full.
std::span<float> panels_of(TensorView out, std::size_t t, std::size_t first, std::size_t last) {
  const std::size_t begin = first * kernels::kFieldRows;
  const std::size_t end = std::min(last * kernels::kFieldRows, static_cast<std::size_t>(out.cols));
  return {out.row(static_cast<std::int64_t>(t)) + begin, end - begin};
}
std::span<float> panel_of(TensorView out, std::size_t t, std::size_t panel) {
  return panels_of(out, t, panel, panel + 1);
}

}  // namespace

bool HeadScreen::worth_trying(const ScreenedHead& head, std::int64_t rows, std::int32_t top) {
  // What is left to multiply after six of eight bits may be a quarter of all (learn()).
  const auto panels = static_cast<std::int64_t>(field_panels(head.rows()));
  if (top > panels / (4 * rows)) return false;
  if (skip_ == 0) return true;
  --skip_;
  return false;
}

void HeadScreen::estimate(const Call& call) {
  const std::size_t norms = call.head.norm_count();
  const auto rows = static_cast<std::size_t>(call.out.rows);
  norms_.resize(rows * norms);
  for (std::size_t t = 0; t < rows; ++t) {
    call.head.find_norms(call.x, static_cast<std::int64_t>(t), norms_.data() + t * norms);
  }
  ceiling_.resize(rows * call.panels);
  state_.assign(call.panels, Panel::kEstimated);
  // A few panels at a time, so that their estimates and scales are still cached.
  const auto estimate_some = [&](std::size_t begin, std::size_t end) {
    call.head.screen(call.table, begin, end, call.x, call.out);
    for (std::size_t t = 0; t < rows; ++t) {
      for (std::size_t panel = begin; panel < end; ++panel) {
        ceiling_[t * call.panels + panel] = call.head.ceiling(
            call.table, panel, norms_.data() + t * norms, panel_of(call.out, t, panel));
      }
      const std::span<float> estimates = panels_of(call.out, t, begin, end);
      std::fill(estimates.begin(), estimates.end(), -kInfinity);  // unless multiplied
    }
  };
  share_tapered(call.pool, call.panels, [&](std::size_t begin, std::size_t end) {
    for (; begin < end; begin += kPanelsAtOnce) {
      estimate_some(begin, std::min(end, begin + kPanelsAtOnce));
    }
  });
}

// As many panels of every row as logits are asked for.
void HeadScreen::mark_best(const Call& call) {
  for (std::size_t row = 0; row < ceiling_.size(); row += call.panels) {
    const float* ceiling = ceiling_.data() + row;
    KthLargest best(std::min(call.top, call.panels), largest_);
    for (std::size_t panel = 0; panel < call.panels; ++panel) best.add(ceiling[panel]);
    for (std::size_t panel = 0; panel < call.panels; ++panel) {
      if (ceiling[panel] >= best.value()) state_[panel] = Panel::kMarked;
    }
  }
}

// What may hold a logit as large as the `top` largest of those that are known.
void HeadScreen::mark_rivals(const Call& call) {
  for (std::size_t t = 0; t < static_cast<std::size_t>(call.out.rows); ++t) {
    KthLargest known(call.top, largest_);
    for (std::size_t panel = 0; panel < call.panels; ++panel) {
      if (state_[panel] != Panel::kMultiplied) continue;
      for (const float logit : panel_of(call.out, t, panel)) known.add(logit);
    }
    const float* ceiling = ceiling_.data() + t * call.panels;
    for (std::size_t panel = 0; panel < call.panels; ++panel) {
      if (state_[panel] == Panel::kEstimated && ceiling[panel] >= known.value()) {
        state_[panel] = Panel::kMarked;
      }
    }
  }
}

void HeadScreen::multiply_marked(const Call& call) {
  marked_.clear();
  marked_.reserve(call.panels);
  for (std::size_t panel = 0; panel < call.panels; ++panel) {
    if (state_[panel] == Panel::kMarked) marked_.push_back(panel);
  }
  // Panels of the product in one of the screen.
  const auto each = kernels::kFieldRows / static_cast<std::size_t>(call.head.panel_rows());
  call.pool.parallel_for(marked_.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t first = marked_[i] * each;
      const std::size_t last = std::min(call.head.panels(), first + each);
      call.head.multiply(call.table, first, last, call.x, 0, call.out);
      state_[marked_[i]] = Panel::kMultiplied;
    }
  });
}

// It has paid if fewer bytes were read than by the product of all.
void HeadScreen::learn(const Call& call) {
  const auto multiplied = std::count(state_.begin(), state_.end(), Panel::kMultiplied);
  const double share = static_cast<double>(multiplied) / static_cast<double>(call.panels);
  const auto product = static_cast<double>(call.head.product_bytes());
  const bool paid = static_cast<double>(call.head.top_logits_bytes()) + share * product < product;
  penalty_ = paid ? 0 : std::min(kMostSkipped, 2 * penalty_ + 8);
  skip_ = penalty_;
}

void HeadScreen::top_logits(const kernels::KernelTable& table, ThreadPool& pool,
                            const ScreenedHead& head, const CpuLinearInput& x, std::int32_t top,
                            TensorView out) {
  const Call call{
      table, pool, head, x, static_cast<std::size_t>(top), out, field_panels(head.rows())};
  estimate(call);
  mark_best(call);
  multiply_marked(call);
  mark_rivals(call);
  multiply_marked(call);
  learn(call);
}

}  // namespace bitcpm
