#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "bench_report.h"
#include "console.h"
#include "eval_runs.h"
#include "measure/saved_run.h"
#include "progress.h"

namespace bitcpm {
namespace {

double value_of(Bound bound, const ComparedRuns& runs) {
  const DriftMeter& drift = runs.logits.drift;
  switch (bound) {
    case Bound::kMaxKl:
      return drift.mean_kl();
    case Bound::kMaxPplChange:
      return std::abs(perplexity_change(runs.logits.want, runs.logits.got).change);
    case Bound::kMinCosine:
      return drift.mean_cosine();
    case Bound::kMinWorstCosine:
      return drift.least_cosine();
    case Bound::kMaxMse:
      return drift.mean_square();
    case Bound::kMaxAbs:
      return drift.largest();
    case Bound::kMinTop1:
      return drift.same_top();
    case Bound::kMinTop5:
      return drift.same_top5();
    case Bound::kCount:
      break;
  }
  return 0;
}

json::object compare_json(const EvalOptions& options, const EvalSide& a, const EvalSide& b,
                          const ComparedRuns& runs, std::span<const CheckedBound> checked) {
  json::object object{
      {"command", "compare"}, {"a", a.description_json()}, {"b", b.description_json()}};
  if (a.is_run() || b.is_run()) {
    object["text"] = (a.is_run() ? a : b).run().text;
  } else {
    object["text"] = text_json(options.text);
  }
  for (auto& entry : comparison_json(runs)) object[entry.key()] = entry.value();
  object["bounds"] = bounds_json(checked);
  return object;
}

std::string compare_text(const EvalOptions& options, const EvalSide& a, const EvalSide& b,
                         const ComparedRuns& runs) {
  const DriftMeter& drift = runs.logits.drift;
  const Perplexity want = perplexity_of(runs.logits.want);
  const Perplexity got = perplexity_of(runs.logits.got);
  const PerplexityChange change = perplexity_change(runs.logits.want, runs.logits.got);
  const std::vector<TableRow> rows = {
      {"positions", with_commas(static_cast<std::int64_t>(drift.positions()))},
      {"perplexity of A", fmt::format("{:.4f}", want.by_predictions)},
      {"perplexity of B",
       fmt::format("{:.4f} ({:+.4f} %, 95 % interval {:+.4f} to {:+.4f} %)", got.by_predictions,
                   100 * change.change, 100 * change.interval.low, 100 * change.interval.high)},
      {"KL(A || B), mean", fmt::format("{:.3e}", drift.mean_kl())},
      {"cosine, mean", fmt::format("{:.7f}", drift.mean_cosine())},
      {"cosine, worst token", fmt::format("{:.7f}", drift.least_cosine())},
      {"MSE of a logit", fmt::format("{:.3e}", drift.mean_square())},
      {"largest difference of a logit", fmt::format("{:.4g}", drift.largest())},
      {"same top-1", percent_text(drift.same_top())},
      {"common top-5", percent_text(drift.same_top5())},
      {"greedy texts", describe_greedy(runs.greedy)}};
  const std::string text = a.is_run()   ? visible(a.run().text)
                           : b.is_run() ? visible(b.run().text)
                                        : describe_text(options.text);
  return fmt::format("A: {}\nB: {}\n{}\n\n{}", a.description(), b.description(), text,
                     format_table(rows, 2));
}

// A run that somebody saved is of the model it is compared with, unless the user knows better.
Status check_models(const EvalOptions& options, const EvalSide& a, const EvalSide& b) {
  if (options.across_models || !(a.is_run() || b.is_run())) return {};
  const RunHeader want = a.header();
  const RunHeader got = b.header();
  if (want.fingerprint.empty() || got.fingerprint.empty()) return {};
  if (want.fingerprint == got.fingerprint) return {};
  return Error{Errc::kInvalid,
               fmt::format("the saved run is of another model: A is {} ({}), B {} ({}); "
                           "--across-models compares them all the same",
                           visible(want.model), visible(want.fingerprint), visible(got.model),
                           visible(got.fingerprint))};
}

Result<ComparedRuns> compare_and_save(EvalSide& a, EvalSide& b, std::span<const EvalWindow> windows,
                                      const EvalOptions& options) {
  ComparedRuns runs;
  BITCPM_ASSIGN(const std::vector<GreedyText> a_texts, side_greedy(a, windows, options));
  BITCPM_ASSIGN(const std::vector<GreedyText> b_texts, side_greedy(b, windows, options));
  BITCPM_ASSIGN(runs.greedy, compare_greedy(a_texts, b_texts));
  BITCPM_ASSIGN(LogitsSource * want, a.source(longest_window(windows)));
  BITCPM_ASSIGN(LogitsSource * got, b.source(longest_window(windows)));
  std::optional<RunWriter> writer;
  std::unique_ptr<LogitsSource> recorder;
  if (!options.save_file.empty()) {
    RunHeader header = b.header();
    header.text = a.is_run() ? a.run().text : describe_text(options.text);
    header.windows.assign(windows.begin(), windows.end());
    header.greedy = b_texts;
    BITCPM_ASSIGN(writer, RunWriter::create(options.save_file, header));
    recorder = recording(*got, *writer);
    got = recorder.get();
  }
  const std::size_t total = count_rows(windows);
  Progress progress("comparing");
  const auto show = [&](std::size_t rows) {
    progress.update_share(static_cast<double>(rows) / static_cast<double>(total),
                          fmt::format("{} of {} tokens", rows, total));
  };
  BITCPM_ASSIGN(runs.logits, compare_logits(*want, *got, windows, show));
  if (writer) BITCPM_TRY(writer->finish());
  return runs;
}

}  // namespace

json::array quantiles_json(std::span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  json::array list;
  for (std::size_t percent = 0; percent <= 100 && !sorted.empty(); ++percent) {
    list.push_back(sorted[percent * (sorted.size() - 1) / 100]);
  }
  return list;
}

json::object greedy_json(const GreedyComparison& greedy) {
  return {{"texts", greedy.texts},
          {"equal", greedy.equal},
          {"first_divergences", json::array(greedy.divergences.begin(), greedy.divergences.end())}};
}

std::string describe_greedy(const GreedyComparison& greedy) {
  if (greedy.texts == 0) return "none compared";
  std::string text = fmt::format("{} of {} equal", greedy.equal, greedy.texts);
  if (greedy.divergences.empty()) return text;
  std::vector<std::int32_t> sorted = greedy.divergences;
  std::sort(sorted.begin(), sorted.end());
  return text + fmt::format("; the others part at token {} (median {})", sorted.front(),
                            sorted[sorted.size() / 2]);
}

std::string percent_text(double share) { return fmt::format("{:.2f} %", 100 * share); }

json::object comparison_json(const ComparedRuns& runs) {
  const DriftMeter& drift = runs.logits.drift;
  const PerplexityChange change = perplexity_change(runs.logits.want, runs.logits.got);
  return {{"positions", drift.positions()},
          {"perplexity_a", perplexity_json(perplexity_of(runs.logits.want))},
          {"perplexity_b", perplexity_json(perplexity_of(runs.logits.got))},
          {"perplexity_change", change.change},
          {"perplexity_change_interval", json::array{change.interval.low, change.interval.high}},
          {"mean_kl", drift.mean_kl()},
          {"cosine_mean", drift.mean_cosine()},
          {"cosine_min", drift.least_cosine()},
          {"mse", drift.mean_square()},
          {"max_abs", drift.largest()},
          {"same_top1_share", drift.same_top()},
          {"common_top5_share", drift.same_top5()},
          {"greedy", greedy_json(runs.greedy)},
          {"cosine_quantiles", quantiles_json(drift.cosines())},
          {"kl_quantiles", quantiles_json(drift.kls())}};
}

Result<ComparedRuns> compare_sides(EvalSide& a, EvalSide& b, std::span<const EvalWindow> windows,
                                   const EvalOptions& options) {
  BITCPM_TRY(check_models(options, a, b));
  return compare_and_save(a, b, windows, options);
}

Result<ExitCode> eval_compare(const EvalOptions& options) {
  BITCPM_ASSIGN(const SideSpec a_spec, parse_side(options.a, options.model));
  BITCPM_ASSIGN(const SideSpec b_spec, parse_side(options.b, options.model));
  BITCPM_ASSIGN(EvalSide a, EvalSide::open(a_spec));
  BITCPM_ASSIGN(EvalSide b, EvalSide::open(b_spec));
  BITCPM_ASSIGN(const std::vector<EvalWindow> windows, shared_windows(options.text, a, b));
  BITCPM_ASSIGN(const ComparedRuns runs, compare_sides(a, b, windows, options));
  const std::vector<CheckedBound> checked =
      check_bounds(options.bounds, [&](Bound bound) { return value_of(bound, runs); });
  BITCPM_TRY(print_all(options.json ? pretty_json(compare_json(options, a, b, runs, checked)) + "\n"
                                    : compare_text(options, a, b, runs)));
  return report_bounds(checked) ? ExitCode::kSuccess : ExitCode::kFailure;
}

}  // namespace bitcpm
