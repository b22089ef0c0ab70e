#include <fmt/format.h>

#include <string>
#include <vector>

#include "bench_report.h"
#include "bench_runs.h"
#include "measure/attention_speed.h"
#include "progress.h"

namespace bitcpm {
namespace {

struct Report {
  std::vector<TableRow> table;
  json::array results;
};

void report_load(const ContextLoad& load, AttentionProbe& probe, const BenchSetting& setting,
                 Report& report) {
  const Spread pass = probe.pass_seconds(setting.repeat);
  const Spread attention = probe.attention_seconds(setting.repeat);
  const Work work = probe.work();
  const double share = attention.median / pass.median;
  json::object result{{"context", load.context},
                      {"streams", load.streams},
                      {"tokens", load.tokens},
                      {"pass_s", spread_json(pass)},
                      {"attention_s", spread_json(attention)},
                      {"attention_share", share}};
  add_rates(work, attention.median, setting.limits, result);
  report.results.push_back(std::move(result));
  TableRow row{fmt::format("{}", load.context),
               fmt::format("{}", load.streams),
               fmt::format("{}", load.tokens),
               fmt::format("{:.2f}", 1e3 * pass.median),
               fmt::format("{:.2f}", 1e3 * attention.median),
               fmt::format("{:.1f} %", 100 * share)};
  const TableRow rates = rate_cells(work, attention.median, setting.limits);
  row.insert(row.end(), rates.begin(), rates.end());
  report.table.push_back(std::move(row));
}

std::vector<ContextLoad> loads_of(const BenchOptions& options) {
  std::vector<std::int64_t> streams = options.batch;
  if (streams.empty()) streams = {1};
  std::vector<std::int64_t> contexts = options.context;
  if (contexts.empty()) contexts = {1024, 4096, 16384, 32768};
  std::vector<ContextLoad> loads;
  for (const std::int64_t count : streams) {
    for (const std::int64_t context : contexts) {
      loads.push_back({.streams = static_cast<std::int32_t>(count),
                       .tokens = static_cast<std::int32_t>(options.tokens.value_or(1)),
                       .context = static_cast<std::int32_t>(context),
                       .kv_cache_dtype = options.model.kv_cache_dtype});
    }
  }
  return loads;
}

}  // namespace

Result<ExitCode> bench_attention(const BenchOptions& options) {
  note_thread_warning(options.model);
  BITCPM_ASSIGN(BenchSource source, BenchSource::open(options));
  BITCPM_ASSIGN(const std::unique_ptr<Backend> backend, make_backend(options.model));
  BITCPM_ASSIGN(const BenchSetting setting,
                measure_setting("attention", options, source, *backend));
  BITCPM_ASSIGN(const LoadedModel loaded, source.load(*backend));
  Report report;
  TableRow titles{"context", "streams", "tokens", "ms/pass", "attention", "share"};
  const TableRow rates = rate_titles();
  titles.insert(titles.end(), rates.begin(), rates.end());
  report.table.push_back(std::move(titles));
  {
    const std::vector<ContextLoad> loads = loads_of(options);
    Progress progress("measuring");  // wiped before anything is printed
    for (std::size_t i = 0; i < loads.size(); ++i) {
      progress.update_share(static_cast<double>(i) / static_cast<double>(loads.size()),
                            fmt::format("{} x {} tokens", loads[i].streams, loads[i].context));
      BITCPM_ASSIGN(AttentionProbe probe, AttentionProbe::make(*loaded.model, loads[i]));
      report_load(loads[i], probe, setting, report);
    }
  }
  BITCPM_TRY(
      print_report(options, setting, format_table(report.table, 0), std::move(report.results)));
  return ExitCode::kSuccess;
}

}  // namespace bitcpm
