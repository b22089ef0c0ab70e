#include "bench_serve.h"

#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/mmap_file.h"
#include "bench_report.h"
#include "console.h"
#include "endpoint.h"
#include "interrupt.h"
#include "load_prompts.h"
#include "measure/serve_load.h"
#include "model_setup.h"
#include "new_files.h"
#include "option_values.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMostPrompts = 1'000'000;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 20;

struct ServeBenchOptions {
  EndpointOptions endpoint;
  std::string backend = "openai";
  std::string dataset_name;
  std::string dataset_path;
  std::string tokenizer;
  OptionalCount num_prompts, input_len, output_len, prefix_len, custom_output_len;
  OptionalCount max_concurrency, seed;
  std::optional<float> range_ratio, prefix_share, request_rate, burstiness, temperature;
  std::vector<std::string> goodput_texts;
  std::vector<std::int64_t> percents;
  bool ignore_eos = false;
  bool detailed = false;
  bool json = false;
  std::string result_file;

  bool custom() const { return dataset_name == "custom" || !dataset_path.empty(); }
};

Result<Tokenizer> open_tokenizer(const std::string& directory) {
  ModelOptions model;
  model.model = directory;
  BITCPM_ASSIGN(ModelFiles files, open_model_files(model));
  return naming_model(files, load_tokenizer(files));
}

Result<std::vector<LoadPrompt>> make_prompts(const ServeBenchOptions& options) {
  if (options.custom()) {
    BITCPM_ASSIGN(const MmapFile file, MmapFile::open(options.dataset_path));
    const auto bytes = file.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    auto prompts =
        parse_prompts(text, static_cast<std::size_t>(options.custom_output_len.value_or(256)));
    if (!prompts.ok()) return std::move(prompts).error().within(options.dataset_path);
    if (options.num_prompts && prompts->size() > static_cast<std::size_t>(*options.num_prompts)) {
      prompts->resize(static_cast<std::size_t>(*options.num_prompts));
    }
    return prompts;
  }
  BITCPM_ASSIGN(const Tokenizer tokenizer, open_tokenizer(options.tokenizer));
  RandomPrompts random;
  random.count = options.num_prompts.value_or(random.count);
  random.input_len = options.input_len.value_or(random.input_len);
  random.output_len = options.output_len.value_or(random.output_len);
  random.range_ratio = options.range_ratio.value_or(0);
  random.prefix_len = options.prefix_len.value_or(0);
  random.prefix_share = options.prefix_share.value_or(1);
  random.seed = static_cast<unsigned>(options.seed.value_or(0));
  return random_prompts(tokenizer, random);
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts)};
}

json::object serve_json(const ServeBenchOptions& options, const HttpBase& base,
                        const LoadStyle& style, const LoadSchedule& schedule,
                        const LoadResult& result, const Goodput& goodput,
                        const std::vector<double>& percents) {
  json::object object{{"command", "serve"},
                      {"date", utc_now()},
                      {"endpoint_type", options.backend},
                      {"backend", options.backend},
                      {"base_url", base.text()},
                      {"model_id", style.model},
                      {"num_prompts", result.outcomes.size()},
                      {"burstiness", schedule.burstiness}};
  object["request_rate"] =
      schedule.request_rate > 0 ? json::value(schedule.request_rate) : json::value("inf");
  object["max_concurrency"] =
      schedule.max_concurrency > 0 ? json::value(schedule.max_concurrency) : json::value();
  for (auto& entry :
       serve_metrics(result.outcomes, result.duration, goodput, percents, options.detailed)) {
    object[entry.key()] = entry.value();
  }
  return object;
}

std::string cell(const json::object& object, const std::string& key) {
  const json::value& value = object.at(key);
  return value.is_null() ? "-" : fmt::format("{:.2f}", value.to_number<double>());
}

std::string serve_text(const json::object& object, const std::vector<double>& percents) {
  const auto number = [&](const char* key) { return object.at(key).to_number<double>(); };
  const bool open_loop = object.at("request_rate").is_number();
  std::string text = fmt::format(
      "serve: {} at {}; {}; {} requests at once\n{} requests completed, {} failed, in {:.2f} s\n\n",
      visible(object.at("model_id").as_string()), visible(object.at("base_url").as_string()),
      open_loop ? fmt::format("{:g} requests/s", number("request_rate"))
                : "requests as fast as they end",
      object.at("max_concurrency").is_null() ? "any number of"
                                             : fmt::format("at most {}", number("max_concurrency")),
      number("completed"), number("failed"), number("duration"));
  std::vector<TableRow> rates = {
      {"requests/s", fmt::format("{:.2f}", number("request_throughput"))},
      {"output tok/s", fmt::format("{:.1f}", number("output_throughput"))},
      {"total tok/s", fmt::format("{:.1f}", number("total_token_throughput"))}};
  if (!object.at("request_goodput").is_null()) {
    rates.push_back({"good requests/s", fmt::format("{:.2f}", number("request_goodput"))});
  }
  text += format_table(rates, 1) + "\n";
  std::vector<TableRow> rows = {{"ms", "mean", "median"}};
  for (const double percent : percents) rows.front().push_back(fmt::format("p{:g}", percent));
  for (const std::string name : {"ttft", "tpot", "itl", "e2el"}) {
    TableRow& row = rows.emplace_back(TableRow{name});
    row.push_back(cell(object, "mean_" + name + "_ms"));
    row.push_back(cell(object, "median_" + name + "_ms"));
    for (const double percent : percents) {
      row.push_back(cell(object, fmt::format("p{:g}_{}_ms", percent, name)));
    }
  }
  return text + format_table(rows, 1);
}

Result<ExitCode> run_bench_serve(const ServeBenchOptions& options) {
  Goodput goodput;
  for (const std::string& text : options.goodput_texts) BITCPM_TRY(parse_goodput(text, goodput));
  BITCPM_ASSIGN(const HttpBase base, endpoint_base(options.endpoint));
  BITCPM_ASSIGN(const std::vector<LoadPrompt> prompts, make_prompts(options));
  LoadStyle style;
  style.api_key = endpoint_key(options.endpoint);
  BITCPM_ASSIGN(style.model, served_model(base, options.endpoint));
  style.is_chat = options.backend == "openai-chat";
  style.ignore_eos = options.ignore_eos;
  style.temperature = options.temperature.value_or(0);
  LoadSchedule schedule;
  const float rate = options.request_rate.value_or(INFINITY);
  schedule.request_rate = std::isinf(rate) ? 0 : rate;
  schedule.burstiness = options.burstiness.value_or(1);
  schedule.max_concurrency = static_cast<int>(options.max_concurrency.value_or(0));
  schedule.seed = static_cast<unsigned>(options.seed.value_or(0));
  InterruptGuard interrupt;  // Ctrl-C ends the load; what there is is still reported
  LoadResult result;
  {
    Progress progress("requests");  // wiped before anything is printed
    const auto show = [&](std::size_t ended) {
      progress.update_share(static_cast<double>(ended) / static_cast<double>(prompts.size()),
                            fmt::format("{} of {} answered", ended, prompts.size()));
      return !interrupt.came();
    };
    BITCPM_ASSIGN(result, run_serve_load(base, prompts, style, schedule, show));
  }
  std::vector<double> percents(options.percents.begin(), options.percents.end());
  if (percents.empty()) percents = {90, 99};
  const json::object object = serve_json(options, base, style, schedule, result, goodput, percents);
  if (!options.result_file.empty()) {
    BITCPM_TRY(write_text_file(options.result_file, pretty_json(object) + "\n"));
  }
  if (!print(options.json ? pretty_json(object) + "\n" : serve_text(object, percents))) {
    return Error{Errc::kIo, "standard output cannot be written"};
  }
  if (interrupt.came()) return ExitCode::kInterrupted;
  for (const RequestOutcome& outcome : result.outcomes) {
    if (outcome.ok()) continue;
    print_note(fmt::format("{} of {} requests failed; the first: {}",
                           object.at("failed").to_number<std::size_t>(), result.outcomes.size(),
                           outcome.error));
    return ExitCode::kFailure;
  }
  return ExitCode::kSuccess;
}

void add_dataset_flags(CLI::App& app, ServeBenchOptions& options) {
  add_word(app, "--dataset-name", options.dataset_name, {"random", "custom"}, {},
           "Random words, or the prompts of a file (default: random without --dataset-path)");
  app.add_option("--dataset-path", options.dataset_path,
                 "JSONL with one {\"prompt\": ..., \"output_tokens\": N} per line")
      ->type_name("FILE");
  add_count(app, "--num-prompts", options.num_prompts, 1, kMostPrompts,
            "Requests to send (default: 100, or all of the file)");
  add_count(app, "--random-input-len", options.input_len, 1, kMostTokens,
            "Tokens of a random prompt (default: 128)");
  add_count(app, "--random-output-len", options.output_len, 1, kMostTokens,
            "Tokens to ask for (default: 128)");
  add_real(app, "--random-range-ratio", options.range_ratio, 0.0f, 1.0f,
           "Let both lengths vary by this share (default: 0)");
  add_count(app, "--random-prefix-len", options.prefix_len, 0, kMostTokens,
            "Tokens before each random prompt (default: 0)");
  add_real(app, "--prefix-share", options.prefix_share, 0.0f, 1.0f,
           "Share of prompts that begin with the same prefix (default: 1)");
  add_count(app, "--custom-output-len", options.custom_output_len, 1, kMostTokens,
            "Tokens to ask for where the file says nothing (default: 256)");
  app.add_option("--tokenizer", options.tokenizer,
                 "Model directory whose tokenizer makes and counts random prompts (default: the "
                 "built-in one)")
      ->type_name("DIR");
  add_count(app, "--seed", options.seed, 0, 4294967295, "Of prompts and arrivals (default: 0)");
}

void add_load_flags(CLI::App& app, ServeBenchOptions& options) {
  add_real(app, "--request-rate", options.request_rate, 1e-6f,
           std::numeric_limits<float>::infinity(),
           "Requests per second (default: inf, all at once)");
  add_real(app, "--burstiness", options.burstiness, 1e-3f, 1e6f,
           "Shape of the arrivals' gamma distribution; 1 is Poisson (default: 1)");
  add_count(app, "--max-concurrency", options.max_concurrency, 1, 65536,
            "Requests under way at once (default: any number)");
  app.add_flag("--ignore-eos", options.ignore_eos, "Ask for answers of full length");
  add_real(app, "--temperature", options.temperature, 0.0f, 2.0f, "Default: 0");
}

}  // namespace

Command make_bench_serve_command(CLI::App& bench) {
  auto options = std::make_shared<ServeBenchOptions>();  // lives as long as its flags and run
  CLI::App* app = bench.add_subcommand("serve", "A load over HTTP on any OpenAI-compatible server");
  app->footer(
      "Flags and JSON are those of vllm bench serve.\nExamples:\n"
      "  bitcpm bench serve --base-url http://127.0.0.1:8000 --max-concurrency 8\n"
      "  bitcpm bench serve --request-rate 2 --num-prompts 50 --goodput ttft:500 tpot:60 --json");
  add_endpoint_flags(*app, options->endpoint, "--base-url");
  add_word(*app, "--backend,--endpoint-type", options->backend, {"openai", "openai-chat"}, {},
           "Completions, or chat completions (default: openai)");
  add_dataset_flags(*app, *options);
  add_load_flags(*app, *options);
  app->add_option("--goodput", options->goodput_texts,
                  "Count requests that keep these: ttft:MS tpot:MS e2el:MS")
      ->expected(1, 3)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("METRIC:MS ...");
  add_counts(*app, "--metric-percentiles", options->percents, 0, 100, "Default: 90,99");
  app->add_flag("--save-detailed", options->detailed, "JSON with the figures of every request");
  app->add_option("--result-filename", options->result_file, "Write the JSON there too")
      ->type_name("FILE");
  app->add_flag("--json", options->json, "One JSON object (docs/benchmarks.md lists its keys)");
  const auto usage_error = [options]() -> std::string {
    if (options->dataset_name == "custom" && options->dataset_path.empty()) {
      return "--dataset-name custom needs a --dataset-path";
    }
    if (options->dataset_name == "random" && !options->dataset_path.empty()) {
      return "--dataset-path is for --dataset-name custom";
    }
    return {};
  };
  return {app, [options] { return run_bench_serve(*options); }, usage_error};
}

}  // namespace bitcpm
