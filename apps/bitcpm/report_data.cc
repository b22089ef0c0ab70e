#include "report_data.h"

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <utility>

#include "base/memory_budget.h"
#include "base/mmap_file.h"
#include "bench_offline.h"
#include "console.h"
#include "model/loader.h"
#include "progress.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxServeBytes = std::size_t{64} << 20;

// As /proc/cpuinfo has it.
std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string utc_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts)};
}

BenchOptions bench_options(const ReportOptions& options) {
  BenchOptions bench;
  bench.model = options.model;
  bench.like = options.shape;
  bench.group = options.group;
  return bench;
}

json::object load_json(const ReportOptions& options, const LoadedModel& loaded, double seconds) {
  const std::size_t token_bytes =
      kv_bytes_per_token(loaded.model->kv_shape(options.model.kv_cache_dtype));
  return {{"seconds", seconds},
          {"weight_bytes", loaded.model->weight_bytes()},
          {"stored_bytes", loaded.report.stored_bytes},
          {"parameters", loaded.report.parameters},
          {"ternary_parameters", loaded.report.ternary_parameters},
          {"kv_bytes_per_token", token_bytes},
          {"kv_capacity_tokens", usable_memory_bytes() / token_bytes}};
}

Status measure_speed(const ReportOptions& options, json::object& report) {
  BITCPM_ASSIGN(BenchSource source, BenchSource::open(bench_options(options)));
  BITCPM_ASSIGN(const std::unique_ptr<Backend> backend, make_backend(options.model));
  const Clock::time_point start = Clock::now();
  BITCPM_ASSIGN(const LoadedModel loaded, source.load(*backend));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  report["speed_model"] = source.name();
  report["device"] = backend->description();
  report["threads"] = backend->pool().threads();
  report["load"] = load_json(options, loaded, seconds);
  if (!options.shape.empty()) report["load"].as_object()["seconds"] = nullptr;  // made, not read

  const auto input = static_cast<std::int32_t>(options.input_len.value_or(6));
  const auto iterations = static_cast<int>(options.iterations.value_or(3));
  Progress progress("measuring");
  const auto run = [&](std::int64_t streams, std::int64_t output, int warmups) {
    const StreamLoad load{.streams = static_cast<std::int32_t>(streams),
                          .prompt_tokens = input,
                          .max_tokens = static_cast<std::int32_t>(output),
                          .kv_cache_dtype = options.model.kv_cache_dtype};
    return run_offline(*loaded.model, load, warmups, iterations, [&](double share) {
      progress.update_share(share, fmt::format("{} x ({} + {} tokens)", streams, input, output));
    });
  };
  BITCPM_ASSIGN(const OfflineRuns latency, run(1, options.latency_output_len.value_or(64), 1));
  report["latency"] = latency_json(latency);
  std::vector<std::int64_t> batch = options.batch;
  if (batch.empty()) batch = {10, 20, 50, 100};
  json::array throughput;
  for (const std::int64_t streams : batch) {
    BITCPM_ASSIGN(const OfflineRuns runs, run(streams, options.output_len.value_or(128), 0));
    throughput.push_back(throughput_json(runs));
  }
  report["throughput"] = std::move(throughput);
  return {};
}

Status measure_accuracy(const ReportOptions& options, json::object& report) {
  SideSpec exact{options.model, {}};
  exact.model.numerics = Numerics::kExact;
  exact.model.kv_cache_dtype = std::nullopt;
  BITCPM_ASSIGN(EvalSide a, EvalSide::open(exact));
  BITCPM_ASSIGN(EvalSide b, EvalSide::open({options.model, {}}));
  BITCPM_ASSIGN(const std::vector<EvalWindow> windows, shared_windows(options.text, a, b));
  BITCPM_ASSIGN(const ComparedRuns runs, compare_sides(a, b, windows, EvalOptions{}));
  json::object accuracy = comparison_json(runs);
  accuracy["model"] = a.header().model;
  accuracy["text"] = text_json(options.text);
  BITCPM_ASSIGN(const std::vector<PointDrift> points, compare_side_layers(a, b, windows));
  accuracy["layers"] = layers_json(points, a.model().config().num_hidden_layers);
  report["accuracy"] = std::move(accuracy);
  return {};
}

Result<json::value> read_serve(const std::string& path) {
  BITCPM_ASSIGN(const MmapFile file, MmapFile::open(path));
  const auto bytes = file.bytes();
  auto value = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                          {.max_bytes = kMaxServeBytes});
  if (!value.ok()) return std::move(value).error().within(path);
  boost::system::error_code missing;
  const json::value* metric = value->find_pointer("/median_ttft_ms", missing);
  if (metric == nullptr || !metric->is_number()) {
    return Error{Errc::kCorrupt, path + ": is no result of bench serve with answers"};
  }
  return value;
}

}  // namespace

Result<json::object> measure_report(const ReportOptions& options) {
  json::object report{{"command", "report"},
                      {"date", utc_date()},
                      {"program", program_name()},
                      {"cpu", cpu_name()},
                      {"numerics", numerics_name(options.model.numerics)}};
  if (!options.serve_file.empty()) {
    BITCPM_ASSIGN(report["serve"], read_serve(options.serve_file));
  }
  note_thread_warning(options.model);
  BITCPM_TRY(measure_speed(options, report));
  BITCPM_TRY(measure_accuracy(options, report));
  if (options.like_reference) report["reference"] = reference_deployment();
  return report;
}

json::object reference_deployment() {
  const auto batch = [](int streams, double output, double total) {
    return json::object{{"num_requests", streams},
                        {"output_tokens_per_second", output},
                        {"tokens_per_second", total}};
  };
  return {{"name", "BitCPM4-CANN-1B, vLLM-Ascend 0.18.0rc1, one Ascend 910B NPU, bfloat16"},
          {"latency", {{"avg_latency", 1.75}, {"output_tokens_per_second", 36.5}}},
          {"throughput", json::array{batch(10, 351.2, 367.7), batch(20, 684.4, 716.5),
                                     batch(50, 1651.1, 1728.5), batch(100, 3052.8, 3195.9)}},
          {"load",
           {{"seconds", 0.38}, {"weight_bytes", 820'000'000}, {"kv_capacity_tokens", 4'453'376}}},
          {"accuracy",
           {{"what", "bfloat16 on the NPU against bfloat16 on a CPU; 30 texts, 395 tokens"},
            {"perplexity_a", 12.76},
            {"perplexity_b", 12.8067},
            {"perplexity_change", 0.0037},
            {"cosine_mean", 0.999992},
            {"cosine_min", 0.999970},
            {"mse", 0.00333},
            {"max_abs", 0.375}}}};
}

Status check_report(const json::value& report) {
  for (const char* pointer :
       {"/program", "/latency/avg_latency", "/latency/percentiles/50",
        "/throughput/0/tokens_per_second", "/load/weight_bytes", "/accuracy/mean_kl",
        "/accuracy/layers/0/relative_error", "/accuracy/cosine_quantiles/0"}) {
    boost::system::error_code missing;
    if (report.find_pointer(pointer, missing) == nullptr) {
      return Error{Errc::kCorrupt, std::string("is no report: it has no ") + (pointer + 1)};
    }
  }
  return {};
}

}  // namespace bitcpm
