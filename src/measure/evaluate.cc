#include "measure/evaluate.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace bitcpm {
namespace {

std::span<const float> row_of(TensorView rows, std::int32_t row) {
  return {rows.row(row), static_cast<std::size_t>(rows.cols)};
}

// Calls use(first, count) for a window's rows, a few at a time.
template <class Use>
Status each_piece(const EvalWindow& window, const Use& use) {
  const auto total = static_cast<std::int32_t>(window.rows());
  for (std::int32_t first = 0; first < total; first += Model::kMaxLogitsRows) {
    BITCPM_TRY(use(first, std::min(Model::kMaxLogitsRows, total - first)));
  }
  return {};
}

// Adds what the piece's rows say of the ids that follow them.
void add_losses(const EvalWindow& window, TensorView rows, std::int32_t first, WindowLoss& loss) {
  for (std::int32_t i = 0; i < rows.rows; ++i) {
    const std::size_t next = window.first_scored + static_cast<std::size_t>(first + i);
    if (next < window.ids.size()) loss.loss -= log_probability(row_of(rows, i), window.ids[next]);
  }
}

WindowLoss no_loss_yet(const EvalWindow& window) {
  return {.tokens = window.ids.size(), .predictions = window.predictions(), .loss = 0};
}

}  // namespace

Result<std::vector<WindowLoss>> score_windows(LogitsSource& source,
                                              std::span<const EvalWindow> windows,
                                              RowProgress progress) {
  std::vector<WindowLoss> losses;
  std::size_t done = 0;
  for (const EvalWindow& window : windows) {
    BITCPM_TRY(source.begin(window));
    WindowLoss loss = no_loss_yet(window);
    BITCPM_TRY(each_piece(window, [&](std::int32_t first, std::int32_t count) -> Status {
      BITCPM_ASSIGN(const TensorView rows, source.rows(first, count));
      add_losses(window, rows, first, loss);
      progress(done += static_cast<std::size_t>(count));
      return {};
    }));
    losses.push_back(loss);
  }
  return losses;
}

Result<LogitsComparison> compare_logits(LogitsSource& want, LogitsSource& got,
                                        std::span<const EvalWindow> windows, RowProgress progress) {
  BITCPM_CHECK(want.vocab_size() == got.vocab_size());
  LogitsComparison comparison;
  for (const EvalWindow& window : windows) {
    BITCPM_TRY(want.begin(window));
    BITCPM_TRY(got.begin(window));
    WindowLoss want_loss = no_loss_yet(window);
    WindowLoss got_loss = no_loss_yet(window);
    BITCPM_TRY(each_piece(window, [&](std::int32_t first, std::int32_t count) -> Status {
      BITCPM_ASSIGN(const TensorView w, want.rows(first, count));
      BITCPM_ASSIGN(const TensorView g, got.rows(first, count));
      for (std::int32_t i = 0; i < count; ++i) comparison.drift.add(row_of(w, i), row_of(g, i));
      add_losses(window, w, first, want_loss);
      add_losses(window, g, first, got_loss);
      progress(comparison.drift.positions());
      return {};
    }));
    comparison.want.push_back(want_loss);
    comparison.got.push_back(got_loss);
  }
  return comparison;
}

}  // namespace bitcpm
