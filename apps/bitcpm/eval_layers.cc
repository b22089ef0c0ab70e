#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bench_report.h"
#include "console.h"
#include "eval_runs.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr float kUsualMaxError = 0.1f;

struct Limits {
  float max_error;
  std::optional<float> min_cosine;

  bool broken_by(const PointDrift& point) const {
    return point.relative_error > max_error || (min_cosine && point.mean_cosine < *min_cosine);
  }
};

std::string layers_text(const EvalOptions& options, const EvalSide& a, const EvalSide& b,
                        std::span<const PointDrift> points, const PointDrift* first_broken) {
  const std::int32_t layers = a.model().config().num_hidden_layers;
  std::vector<TableRow> rows = {{"point", "cosine mean", "worst", "MSE", "relative error", ""}};
  for (const PointDrift& point : points) {
    rows.push_back({point.name(layers), fmt::format("{:.7f}", point.mean_cosine),
                    fmt::format("{:.7f}", point.least_cosine),
                    fmt::format("{:.2e}", point.mean_square),
                    fmt::format("{:.2e}", point.relative_error),
                    &point == first_broken ? "<- first over the threshold" : ""});
  }
  return fmt::format("A: {}\nB: {}\n{}\n\n{}", a.description(), b.description(),
                     describe_text(options.text), format_table(rows, 1));
}

json::object layers_report(const EvalOptions& options, const EvalSide& a, const EvalSide& b,
                           const Limits& limits, std::span<const PointDrift> points,
                           const PointDrift* first_broken) {
  const std::int32_t layers = a.model().config().num_hidden_layers;
  json::object object{{"command", "layers"},           {"a", a.description_json()},
                      {"b", b.description_json()},     {"text", text_json(options.text)},
                      {"max_error", limits.max_error}, {"points", layers_json(points, layers)}};
  object["min_cosine"] = limits.min_cosine ? json::value(*limits.min_cosine) : json::value();
  object["first_over"] =
      first_broken == nullptr ? json::value() : json::value(first_broken->name(layers));
  return object;
}

}  // namespace

json::array layers_json(std::span<const PointDrift> points, std::int32_t num_layers) {
  json::array list;
  for (const PointDrift& point : points) {
    list.push_back({{"point", point.name(num_layers)},
                    {"cosine_mean", point.mean_cosine},
                    {"cosine_min", point.least_cosine},
                    {"mse", point.mean_square},
                    {"relative_error", point.relative_error}});
  }
  return list;
}

Result<std::vector<PointDrift>> compare_side_layers(EvalSide& a, EvalSide& b,
                                                    std::span<const EvalWindow> windows) {
  std::size_t total = 0;
  for (const EvalWindow& window : windows) total += window.ids.size();
  Progress progress("comparing");
  const auto show = [&](std::size_t tokens) {
    progress.update_share(static_cast<double>(tokens) / static_cast<double>(total),
                          fmt::format("{} of {} tokens", tokens, total));
  };
  return compare_layers(a.model(), b.model(), windows, show, a.kv_cache_dtype(),
                        b.kv_cache_dtype());
}

Result<ExitCode> eval_layers(const EvalOptions& options) {
  BITCPM_ASSIGN(const SideSpec a_spec, parse_side(options.a, options.model));
  BITCPM_ASSIGN(const SideSpec b_spec, parse_side(options.b, options.model));
  for (const SideSpec* spec : {&a_spec, &b_spec}) {
    if (spec->run_file.empty()) continue;
    return Error{Errc::kInvalid,
                 visible(spec->run_file) + ": a saved run keeps logits, no hidden states"};
  }
  BITCPM_ASSIGN(EvalSide a, EvalSide::open(a_spec));
  BITCPM_ASSIGN(EvalSide b, EvalSide::open(b_spec));
  BITCPM_ASSIGN(const std::vector<EvalWindow> windows, shared_windows(options.text, a, b));
  BITCPM_ASSIGN(const std::vector<PointDrift> points, compare_side_layers(a, b, windows));
  const Limits limits{options.max_error.value_or(kUsualMaxError), options.min_cosine};
  const auto found = std::find_if(points.begin(), points.end(),
                                  [&](const PointDrift& point) { return limits.broken_by(point); });
  const PointDrift* first_broken = found == points.end() ? nullptr : &*found;
  BITCPM_TRY(print_all(
      options.json ? pretty_json(layers_report(options, a, b, limits, points, first_broken)) + "\n"
                   : layers_text(options, a, b, points, first_broken)));
  if (first_broken == nullptr) return ExitCode::kSuccess;
  print_note(fmt::format("{} is the first over the threshold: relative error {:.3g}, cosine {:.6f}",
                         first_broken->name(a.model().config().num_hidden_layers),
                         first_broken->relative_error, first_broken->mean_cosine));
  return ExitCode::kFailure;
}

}  // namespace bitcpm
