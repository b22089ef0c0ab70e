#include "bench_offline.h"

#include <fmt/format.h>

#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "bench_report.h"
#include "bench_runs.h"
#include "console.h"
#include "measure/serve_metrics.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr double kPercents[] = {10, 25, 50, 75, 90, 99};  // as vLLM reports them

double total_tokens(const StreamLoad& load) {
  return static_cast<double>(load.streams) * (load.prompt_tokens + load.max_tokens);
}

// A model, loaded and ready to be timed.
struct OfflineBench {
  std::unique_ptr<Backend> backend;  // before the model, which refers to it
  LoadedModel loaded;
  std::string name;
};

Result<OfflineBench> start(const BenchOptions& options) {
  note_thread_warning(options.model);
  BITCPM_ASSIGN(BenchSource source, BenchSource::open(options));
  BITCPM_ASSIGN(std::unique_ptr<Backend> backend, make_backend(options.model));
  BITCPM_ASSIGN(LoadedModel loaded, source.load(*backend));
  return OfflineBench{std::move(backend), std::move(loaded), source.name()};
}

json::object setting_json(const char* command, const BenchOptions& options,
                          const OfflineBench& bench) {
  return {{"command", command},
          {"model", bench.name},
          {"numerics", numerics_name(options.model.numerics)},
          {"device", bench.backend->description()},
          {"threads", bench.backend->pool().threads()}};
}

std::string heading(const char* command, const BenchOptions& options, const OfflineBench& bench,
                    const StreamLoad& load) {
  return fmt::format("{}: {}; numerics {}; {}; {} prompt tokens and {} generated\n\n", command,
                     visible(bench.name), numerics_name(options.model.numerics),
                     bench.backend->description(), load.prompt_tokens, load.max_tokens);
}

Result<std::vector<OfflineRuns>> run_all(const OfflineBench& bench,
                                         const std::vector<StreamLoad>& loads, int warmups,
                                         int iterations) {
  std::vector<OfflineRuns> all;
  double total = 0, done = 0;
  for (const StreamLoad& load : loads) total += total_tokens(load);
  Progress progress("measuring");  // wiped before anything is printed
  for (const StreamLoad& load : loads) {
    const auto show = [&](double share) {
      progress.update_share(
          (done + share * total_tokens(load)) / total,
          fmt::format("{} x ({} + {} tokens)", load.streams, load.prompt_tokens, load.max_tokens));
    };
    BITCPM_ASSIGN(OfflineRuns runs,
                  run_offline(*bench.loaded.model, load, warmups, iterations, show));
    done += total_tokens(load);
    all.push_back(std::move(runs));
  }
  return all;
}

StreamLoad load_of(const BenchOptions& options, std::int64_t streams, std::int64_t output_len) {
  return {.streams = static_cast<std::int32_t>(streams),
          .prompt_tokens = static_cast<std::int32_t>(options.input_len.value_or(32)),
          .max_tokens = static_cast<std::int32_t>(options.output_len.value_or(output_len)),
          .kv_cache_dtype = options.model.kv_cache_dtype};
}

std::string latency_table(const OfflineRuns& runs) {
  std::vector<TableRow> rows = {
      {"mean latency", fmt::format("{:.4f} s", runs.mean_seconds())},
      {"output", fmt::format("{:.1f} tok/s", runs.output_tokens_per_s())}};
  for (const double percent : kPercents) {
    rows.push_back({fmt::format("p{:.0f}", percent),
                    fmt::format("{:.4f} s", percentile(runs.seconds, percent))});
  }
  return format_table(rows, 1);
}

std::string throughput_table(const std::vector<OfflineRuns>& all) {
  std::vector<TableRow> rows = {{"batch", "seconds", "requests/s", "output tok/s", "total tok/s"}};
  for (const OfflineRuns& runs : all) {
    rows.push_back({std::to_string(runs.load.streams), fmt::format("{:.3f}", runs.mean_seconds()),
                    fmt::format("{:.2f}", runs.load.streams / runs.mean_seconds()),
                    fmt::format("{:.1f}", runs.output_tokens_per_s()),
                    fmt::format("{:.1f}", runs.total_tokens_per_s())});
  }
  return format_table(rows, 0);
}

}  // namespace

double OfflineRuns::mean_seconds() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size());
}

double OfflineRuns::output_tokens_per_s() const {
  return static_cast<double>(load.generated_tokens()) / mean_seconds();
}

double OfflineRuns::total_tokens_per_s() const { return total_tokens(load) / mean_seconds(); }

Result<OfflineRuns> run_offline(const Model& model, const StreamLoad& load, int warmups,
                                int iterations, FunctionRef<void(double share)> progress) {
  BITCPM_ASSIGN(const std::unique_ptr<Engine> engine, start_engine_for(model, load));
  OfflineRuns runs{load, {}};
  const double total = static_cast<double>(load.generated_tokens()) * (warmups + iterations);
  for (int i = 0; i < warmups + iterations; ++i) {
    const double before = static_cast<double>(load.generated_tokens()) * i;
    const auto show = [&](std::int64_t tokens) {
      progress((before + static_cast<double>(tokens)) / total);
    };
    BITCPM_ASSIGN(const StreamTimes times,
                  run_streams(*engine, model.config().vocab_size, load, show));
    if (i >= warmups) runs.seconds.push_back(times.overall_seconds);
  }
  return runs;
}

json::object latency_json(const OfflineRuns& runs) {
  json::object percentiles;
  for (const double percent : kPercents) {
    percentiles[fmt::format("{:.0f}", percent)] = percentile(runs.seconds, percent);
  }
  return {{"batch_size", runs.load.streams},
          {"input_len", runs.load.prompt_tokens},
          {"output_len", runs.load.max_tokens},
          {"avg_latency", runs.mean_seconds()},
          {"latencies", json::array(runs.seconds.begin(), runs.seconds.end())},
          {"percentiles", std::move(percentiles)},
          {"output_tokens_per_second", runs.output_tokens_per_s()}};
}

json::object throughput_json(const OfflineRuns& runs) {
  return {{"num_requests", runs.load.streams},
          {"input_len", runs.load.prompt_tokens},
          {"output_len", runs.load.max_tokens},
          {"elapsed_time", runs.mean_seconds()},
          {"total_num_tokens", total_tokens(runs.load)},
          {"requests_per_second", runs.load.streams / runs.mean_seconds()},
          {"tokens_per_second", runs.total_tokens_per_s()},
          {"output_tokens_per_second", runs.output_tokens_per_s()}};
}

Result<ExitCode> bench_latency(const BenchOptions& options) {
  BITCPM_ASSIGN(const OfflineBench bench, start(options));
  const StreamLoad load = load_of(options, options.batch.empty() ? 1 : options.batch.front(), 64);
  BITCPM_ASSIGN(const std::vector<OfflineRuns> all,
                run_all(bench, {load}, static_cast<int>(options.warmups.value_or(1)),
                        static_cast<int>(options.iterations.value_or(5))));
  std::string text = heading("latency", options, bench, load) + latency_table(all.front());
  if (options.json) {
    json::object object = setting_json("latency", options, bench);
    for (auto& entry : latency_json(all.front())) object[entry.key()] = entry.value();
    text = pretty_json(object) + "\n";
  }
  if (!print(text)) return Error{Errc::kIo, "standard output cannot be written"};
  return ExitCode::kSuccess;
}

Result<ExitCode> bench_throughput(const BenchOptions& options) {
  BITCPM_ASSIGN(const OfflineBench bench, start(options));
  std::vector<std::int64_t> batch = options.batch;
  if (batch.empty()) batch = {10, 20, 50, 100};
  std::vector<StreamLoad> loads;
  for (const std::int64_t streams : batch) loads.push_back(load_of(options, streams, 128));
  BITCPM_ASSIGN(const std::vector<OfflineRuns> all,
                run_all(bench, loads, static_cast<int>(options.warmups.value_or(0)),
                        static_cast<int>(options.iterations.value_or(1))));
  std::string text = heading("throughput", options, bench, loads.front()) + throughput_table(all);
  if (options.json) {
    json::object object = setting_json("throughput", options, bench);
    json::array results;
    for (const OfflineRuns& runs : all) results.push_back(throughput_json(runs));
    object["results"] = std::move(results);
    text = pretty_json(object) + "\n";
  }
  if (!print(text)) return Error{Errc::kIo, "standard output cannot be written"};
  return ExitCode::kSuccess;
}

}  // namespace bitcpm
