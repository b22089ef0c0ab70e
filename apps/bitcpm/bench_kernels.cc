#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bench_report.h"
#include "bench_runs.h"
#include "measure/linear_speed.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr std::int32_t kTokens[] = {1, 8, 64, 512};

// One shape of linear, and those of the model that have it.
struct Linear {
  std::vector<std::string> names;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::string_view form;   // as the kernel reads it
  std::int64_t group = 0;  // of ternary weights, else 0
  LinearProbe probe;

  std::string weights() const {
    return group > 0 ? fmt::format("{}/{}", form, group) : std::string(form);
  }
};

// What the matrices of one forward pass weigh, roughly: a small model lives in the cache, and its
// kernels are to be measured there.
std::size_t pass_bytes(const ModelConfig& config) {
  double bytes = 0;
  for (const TensorSlot& slot : tensor_slots(config)) {
    const auto values = static_cast<double>(slot.rows * slot.cols);
    if (slot.kind == SlotKind::kProjection) bytes += values / 4;
    if (slot.kind == SlotKind::kHead) bytes += values;
  }
  return static_cast<std::size_t>(bytes);
}

Result<std::vector<Linear>> distinct_linears(BenchSource& source, const BenchOptions& options,
                                             Backend& backend) {
  const std::size_t copies_bytes = std::min(pass_bytes(source.config()), beyond_cache_bytes());
  std::vector<Linear> linears;
  const auto use = [&](const std::string& name, QuantizedMatrix matrix, bool is_head) -> Status {
    const bool is_rounded = is_head && options.model.numerics == Numerics::kFast;
    const std::int64_t rows = matrix.rows;
    const std::int64_t cols = matrix.cols;
    const std::int64_t group = matrix.group;
    const std::string_view form = is_rounded ? "int8" : weight_form_name(matrix.form);
    for (Linear& linear : linears) {
      if (is_head || linear.rows != rows || linear.cols != cols) continue;
      if (linear.form != form || linear.group != group) continue;
      linear.names.push_back(name);
      return {};
    }
    BITCPM_ASSIGN(LinearProbe probe, LinearProbe::make(backend, options.model.numerics,
                                                       std::move(matrix), is_head, copies_bytes));
    linears.push_back({{name}, rows, cols, form, group, std::move(probe)});
    return {};
  };
  BITCPM_TRY(source.each_linear(backend.pool(), use));
  return linears;
}

struct Report {
  std::vector<TableRow> table;
  json::array results;
};

Status measure(const Linear& linear, std::int32_t tokens, const BenchSetting& setting,
               Report& report) {
  BITCPM_ASSIGN(const Spread seconds, linear.probe.seconds_per_call(tokens, setting.repeat));
  const Work work = linear.probe.work(tokens);
  json::object result{{"linears", json::array(linear.names.begin(), linear.names.end())},
                      {"rows", linear.rows},
                      {"cols", linear.cols},
                      {"form", linear.form}};
  if (linear.group > 0) result["group_size"] = linear.group;
  result["tokens"] = tokens;
  result["call_s"] = spread_json(seconds);
  add_rates(work, seconds.median, setting.limits, result);
  report.results.push_back(std::move(result));
  TableRow row{fmt::format("{}", fmt::join(linear.names, ",")),
               fmt::format("{}x{}", linear.rows, linear.cols), linear.weights(),
               fmt::format("{}", tokens), fmt::format("{:.1f}", 1e6 * seconds.median)};
  const TableRow rates = rate_cells(work, seconds.median, setting.limits);
  row.insert(row.end(), rates.begin(), rates.end());
  report.table.push_back(std::move(row));
  return {};
}

}  // namespace

Result<ExitCode> bench_kernels(const BenchOptions& options) {
  note_thread_warning(options.model);
  BITCPM_ASSIGN(BenchSource source, BenchSource::open(options));
  BITCPM_ASSIGN(const std::unique_ptr<Backend> backend, make_backend(options.model));
  BITCPM_ASSIGN(const BenchSetting setting, measure_setting("kernels", options, source, *backend));
  Report report;
  TableRow titles{"linear", "shape", "weights", "tokens", "us/call"};
  const TableRow rates = rate_titles();
  titles.insert(titles.end(), rates.begin(), rates.end());
  report.table.push_back(std::move(titles));
  {
    Progress progress("measuring");  // wiped before anything is printed
    BITCPM_ASSIGN(const std::vector<Linear> linears, distinct_linears(source, options, *backend));
    const double total = static_cast<double>(linears.size() * std::size(kTokens));
    double done = 0;
    for (const Linear& linear : linears) {
      for (const std::int32_t tokens : kTokens) {
        progress.update_share(done++ / total,
                              fmt::format("{}, {} tokens", linear.names.front(), tokens));
        BITCPM_TRY(measure(linear, tokens, setting, report));
      }
    }
  }
  BITCPM_TRY(
      print_report(options, setting, format_table(report.table, 3), std::move(report.results)));
  return ExitCode::kSuccess;
}

}  // namespace bitcpm
