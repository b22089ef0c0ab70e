#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "bench_report.h"
#include "bench_runs.h"
#include "measure/spread.h"
#include "measure/stream_run.h"
#include "measure/work.h"
#include "progress.h"

namespace bitcpm {
namespace {

// A model, loaded and ready to be timed.
struct Bench {
  std::unique_ptr<Backend> backend;  // before the model, which refers to it
  LoadedModel loaded;
  BenchSetting setting;
  ModelOptions options;

  ModelWork work() const { return ModelWork(loaded, options.numerics, options.kv_cache_dtype); }
  const Model& model() const { return *loaded.model; }
};

Result<Bench> start_bench(const char* command, const BenchOptions& options) {
  note_thread_warning(options.model);
  BITCPM_ASSIGN(BenchSource source, BenchSource::open(options));
  BITCPM_ASSIGN(std::unique_ptr<Backend> backend, make_backend(options.model));
  BITCPM_ASSIGN(BenchSetting setting, measure_setting(command, options, source, *backend));
  BITCPM_ASSIGN(LoadedModel loaded, source.load(*backend));
  return Bench{std::move(backend), std::move(loaded), std::move(setting), options.model};
}

// What the runs of a load came to.
struct LoadRuns {
  std::vector<StreamTimes> times;
  double forward_share = 0;  // of the engine's steps: time in the model; the rest is the engine's
};

// Runs a load a few times, after a short run that touches the memory.
class LoadRunner {
 public:
  LoadRunner(const Bench& bench, std::int64_t total_tokens)
      : bench_(bench), total_(static_cast<double>(total_tokens)), progress_("measuring") {}

  Result<LoadRuns> run(const StreamLoad& load, const std::string& what) {
    BITCPM_ASSIGN(const std::unique_ptr<Engine> engine, start_engine_for(bench_.model(), load));
    StreamLoad first = load;
    first.max_tokens = std::min(load.max_tokens, 2);
    BITCPM_TRY(run_once(*engine, first, what));
    const StepTotals before = engine->stats().steps;
    LoadRuns runs;
    for (int i = 0; i < bench_.setting.repeat; ++i) {
      BITCPM_ASSIGN(const StreamTimes times, run_once(*engine, load, what));
      runs.times.push_back(times);
      done_ += static_cast<double>(load.generated_tokens());
    }
    const StepTotals after = engine->stats().steps;
    runs.forward_share =
        (after.forward_seconds - before.forward_seconds) / (after.seconds() - before.seconds());
    return runs;
  }

 private:
  Result<StreamTimes> run_once(Engine& engine, const StreamLoad& load, const std::string& what) {
    const auto show = [&](std::int64_t tokens) {
      progress_.update_share((done_ + static_cast<double>(tokens)) / total_, what);
    };
    return run_streams(engine, bench_.model().config().vocab_size, load, show);
  }

  const Bench& bench_;
  double total_;
  double done_ = 0;
  Progress progress_;
};

template <class Value>
Spread spread_over(const LoadRuns& runs, const Value& value) {
  std::vector<double> values;
  for (const StreamTimes& times : runs.times) values.push_back(value(times));
  return spread_of(std::move(values));
}

// Seconds per step while all streams decode; none if some run had no such phase.
std::optional<Spread> step_seconds(const LoadRuns& runs) {
  for (const StreamTimes& times : runs.times) {
    if (times.decode_steps == 0) return std::nullopt;
  }
  return spread_over(runs, [](const StreamTimes& times) {
    return times.decode_seconds / static_cast<double>(times.decode_steps);
  });
}

struct Report {
  std::vector<TableRow> table;
  json::array results;

  explicit Report(TableRow titles) { add_row(std::move(titles), rate_titles()); }
  void add_row(TableRow row, const TableRow& rates) {
    row.insert(row.end(), rates.begin(), rates.end());
    table.push_back(std::move(row));
  }
};

// One step of all streams: a token each, their contexts half filled on average.
Work decode_step_work(const ModelWork& work, const StreamLoad& load) {
  const double streams = load.streams;
  return work.of(1, streams, streams, streams * (load.prompt_tokens + load.max_tokens / 2.0));
}

// How many guessed tokens held, over all runs.
std::string add_guesses(const LoadRuns& runs, json::object& result) {
  std::int64_t guessed = 0, accepted = 0;
  for (const StreamTimes& times : runs.times) {
    guessed += times.guessed_tokens;
    accepted += times.accepted_tokens;
  }
  result["guessed_tokens"] = guessed;
  result["accepted_tokens"] = accepted;
  return fmt::format("{} of {}", accepted, guessed);
}

void report_decode(const Bench& bench, const StreamLoad& load, const LoadRuns& runs,
                   Report& report) {
  const DeviceLimits& limits = bench.setting.limits;
  const Work work = decode_step_work(bench.work(), load);
  const Spread overall = spread_over(runs, [](const StreamTimes& times) {
                           return times.overall_seconds;
                         }).rate(static_cast<double>(load.generated_tokens()));
  json::object result{{"streams", load.streams},
                      {"prompt_tokens", load.prompt_tokens},
                      {"max_tokens", load.max_tokens},
                      {"overall_tokens_per_s", spread_json(overall)},
                      {"forward_share", runs.forward_share}};
  const Spread sampling = spread_over(runs, [](const StreamTimes& times) {
    return times.steps.sample_seconds / times.steps.seconds();
  });
  result["sampling_share"] = spread_json(sampling);
  TableRow row{fmt::format("{}", load.streams)};
  const std::optional<Spread> step = step_seconds(runs);
  if (step) {
    const Spread rate = step->rate(load.streams);
    result["decode_tokens_per_s"] = spread_json(rate);
    result["step_s"] = spread_json(*step);
    add_rates(work, step->median, limits, result);
    row.push_back(fmt::format("{:.1f}", rate.median));
  } else {
    result["decode_tokens_per_s"] = nullptr;
    row.emplace_back("-");
  }
  row.push_back(fmt::format("{:.1f}", overall.median));
  row.push_back(step ? fmt::format("{:.2f}", 1e3 * step->median) : "-");
  row.push_back(fmt::format("{:.1f} %", 100 * runs.forward_share));
  row.push_back(fmt::format("{:.1f} %", 100 * sampling.median));
  if (load.speculation.num_speculative_tokens > 0) row.push_back(add_guesses(runs, result));
  report.add_row(std::move(row), step ? rate_cells(work, step->median, limits)
                                      : TableRow(rate_titles().size(), "-"));
  report.results.push_back(std::move(result));
}

// Passes over parts of a prompt, the last one making one position's logits.
Work prefill_work(const ModelWork& work, std::int32_t prompt_tokens, std::int32_t pass_tokens) {
  double passes = 0;
  double kv_tokens = 0;
  for (std::int32_t done = 0; done < prompt_tokens; ++passes) {
    done = std::min(prompt_tokens, done + pass_tokens);
    kv_tokens += done;
  }
  return work.of(passes, prompt_tokens, 1, kv_tokens);
}

void report_prefill(const Bench& bench, const StreamLoad& load, const LoadRuns& runs,
                    Report& report) {
  const DeviceLimits& limits = bench.setting.limits;
  const std::int32_t pass_tokens = EngineConfig().max_num_batched_tokens;
  const Work work = prefill_work(bench.work(), load.prompt_tokens, pass_tokens);
  const Spread seconds =
      spread_over(runs, [](const StreamTimes& times) { return times.prompt_seconds; });
  const Spread rate = seconds.rate(load.prompt_tokens);
  json::object result{{"prompt_tokens", load.prompt_tokens},
                      {"prefill_tokens_per_s", spread_json(rate)},
                      {"prefill_s", spread_json(seconds)}};
  add_rates(work, seconds.median, limits, result);
  report.add_row({fmt::format("{}", load.prompt_tokens), fmt::format("{:.1f}", rate.median),
                  fmt::format("{:.1f}", 1e3 * seconds.median)},
                 rate_cells(work, seconds.median, limits));
  report.results.push_back(std::move(result));
}

using ReportLoad = void (*)(const Bench&, const StreamLoad&, const LoadRuns&, Report&);

Result<ExitCode> run_loads(const char* command, const BenchOptions& options,
                           const std::vector<StreamLoad>& loads, Report report,
                           ReportLoad report_load) {
  BITCPM_ASSIGN(const Bench bench, start_bench(command, options));
  std::int64_t tokens = 0;
  for (const StreamLoad& load : loads) tokens += bench.setting.repeat * load.generated_tokens();
  {
    LoadRunner runner(bench, tokens);  // its progress bar is wiped before anything is printed
    for (const StreamLoad& load : loads) {
      const std::string what =
          fmt::format("{} x ({} + {} tokens)", load.streams, load.prompt_tokens, load.max_tokens);
      BITCPM_ASSIGN(const LoadRuns runs, runner.run(load, what));
      report_load(bench, load, runs, report);
    }
  }
  BITCPM_TRY(print_report(options, bench.setting, format_table(report.table, 0),
                          std::move(report.results)));
  return ExitCode::kSuccess;
}

}  // namespace

Result<ExitCode> bench_decode(const BenchOptions& options) {
  std::vector<std::int64_t> batch = options.batch;
  if (batch.empty()) batch = {1, 10, 20, 50, 100};
  GenerationDefaults greedy;
  greedy.temperature = 0;
  std::vector<StreamLoad> loads;
  for (const std::int64_t streams : batch) {
    StreamLoad& load = loads.emplace_back();
    load.streams = static_cast<std::int32_t>(streams);
    if (!options.prompt_tokens.empty()) {
      load.prompt_tokens = static_cast<std::int32_t>(options.prompt_tokens.front());
    }
    load.max_tokens = static_cast<std::int32_t>(options.max_tokens.value_or(load.max_tokens));
    load.kv_cache_dtype = options.model.kv_cache_dtype;
    load.speculation = options.model.speculation;
    load.sampling = make_sampling_params(options.sampling, greedy);
    if (options.logprobs) load.sampling.logprobs = static_cast<std::int32_t>(*options.logprobs);
  }
  TableRow titles{"streams", "tok/s", "overall", "ms/step", "forward", "sampling"};
  if (options.model.speculation.num_speculative_tokens > 0) titles.emplace_back("held");
  return run_loads("decode", options, loads, Report(std::move(titles)), report_decode);
}

Result<ExitCode> bench_prefill(const BenchOptions& options) {
  std::vector<std::int64_t> prompts = options.prompt_tokens;
  if (prompts.empty()) prompts = {512};
  std::vector<StreamLoad> loads;
  for (const std::int64_t tokens : prompts) {
    StreamLoad& load = loads.emplace_back();
    load.prompt_tokens = static_cast<std::int32_t>(tokens);
    load.max_tokens = 1;
    load.kv_cache_dtype = options.model.kv_cache_dtype;
  }
  return run_loads("prefill", options, loads, Report({"prompt", "tok/s", "ms"}), report_prefill);
}

}  // namespace bitcpm
