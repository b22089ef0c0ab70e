#include "measure/layer_comparison.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "measure/model_pass.h"

namespace bitcpm {
namespace {

// What one pass showed at every point, in order.
struct Trace {
  struct Point {
    HiddenPoint point;
    std::int32_t stage;
    std::int64_t rows;
    std::vector<float> values;  // [rows, hidden]
  };
  std::vector<Point> points;

  void keep(HiddenPoint point, std::int32_t stage, TensorView h) {
    points.push_back({point, stage, h.rows, dense_values(h)});
  }
};

// Sums over windows of one point.
class PointMeter {
 public:
  void add(const Trace::Point& want, TensorView got) {
    point_ = want.point;
    stage_ = want.stage;
    for (std::int64_t row = 0; row < got.rows; ++row) {
      const float* w = want.values.data() + row * got.cols;
      add_row({w, static_cast<std::size_t>(got.cols)}, got.row(row));
    }
  }

  PointDrift result() const {
    const auto rows = static_cast<double>(rows_);
    return {.point = point_,
            .stage = stage_,
            .mean_cosine = cosines_ / rows,
            .least_cosine = least_cosine_,
            .mean_square = errors_ / static_cast<double>(values_),
            .relative_error = errors_ == 0 ? 0 : std::sqrt(errors_ / squares_)};
  }

 private:
  void add_row(std::span<const float> want, const float* got) {
    double dot = 0, ww = 0, gg = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double w = want[i];
      const double g = got[i];
      dot += w * g;
      ww += w * w;
      gg += g * g;
      errors_ += (w - g) * (w - g);
    }
    const double cosine = ww == 0 || gg == 0 ? (ww == gg ? 1 : 0) : dot / std::sqrt(ww * gg);
    squares_ += ww;
    cosines_ += cosine;
    least_cosine_ = std::min(least_cosine_, cosine);
    values_ += want.size();
    ++rows_;
  }

  HiddenPoint point_ = HiddenPoint::kResidual;
  std::int32_t stage_ = 0;
  std::size_t rows_ = 0, values_ = 0;
  double cosines_ = 0, least_cosine_ = 1, errors_ = 0, squares_ = 0;
};

Status check_alike(const ModelConfig& want, const ModelConfig& got) {
  const auto shape = [](const ModelConfig& config) {
    return std::to_string(config.num_hidden_layers) + " layers of width " +
           std::to_string(config.hidden_size);
  };
  if (shape(want) == shape(got)) return {};
  return Error{Errc::kInvalid, "layers can be compared of models of one shape only: A has " +
                                   shape(want) + ", B " + shape(got)};
}

}  // namespace

std::string PointDrift::name(std::int32_t num_layers) const {
  if (stage == 0) return "embedding";
  if (stage > num_layers) return "final norm";
  const std::string layer = "layer " + std::to_string(stage - 1);
  switch (point) {
    case HiddenPoint::kAttention:
      return layer + " attention";
    case HiddenPoint::kMlp:
      return layer + " mlp";
    case HiddenPoint::kResidual:
      break;
  }
  return layer;
}

Result<std::vector<PointDrift>> compare_layers(const Model& want, const Model& got,
                                               std::span<const EvalWindow> windows,
                                               RowProgress progress,
                                               std::optional<KvCacheDtype> want_kv,
                                               std::optional<KvCacheDtype> got_kv) {
  BITCPM_TRY(check_alike(want.config(), got.config()));
  std::size_t longest = 0;
  for (const EvalWindow& window : windows) longest = std::max(longest, window.ids.size());
  BITCPM_ASSIGN(ModelPass want_pass, ModelPass::make(want, longest, want_kv));
  BITCPM_ASSIGN(ModelPass got_pass, ModelPass::make(got, longest, got_kv));
  std::vector<PointMeter> meters;
  std::size_t done = 0;
  for (const EvalWindow& window : windows) {
    Trace trace;
    const auto keep = [&](HiddenPoint point, std::int32_t stage, TensorView h) {
      trace.keep(point, stage, h);
    };
    const HiddenObserver keeper(keep);
    want_pass.run(window.ids, 0, &keeper);
    meters.resize(trace.points.size());
    std::size_t next = 0;
    const auto compare = [&](HiddenPoint, std::int32_t, TensorView h) {
      meters[next].add(trace.points[next], h);
      ++next;
    };
    const HiddenObserver comparer(compare);
    got_pass.run(window.ids, 0, &comparer);
    progress(done += window.ids.size());
  }
  std::vector<PointDrift> drifts;
  for (const PointMeter& meter : meters) drifts.push_back(meter.result());
  return drifts;
}

}  // namespace bitcpm
