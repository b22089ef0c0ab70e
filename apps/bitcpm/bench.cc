#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench_runs.h"
#include "bench_serve.h"
#include "commands.h"
#include "option_values.h"
#include "speculative_config.h"
#include "synthetic_options.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMostStreams = 4096;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 20;
constexpr std::int64_t kMostRepeats = 1000;
constexpr std::int64_t kMostLogprobs = 1000;

// One thing to measure of a model here.
struct BenchCommand {
  CLI::App* app;
  Result<ExitCode> (*run)(const BenchOptions& options);
};

CLI::App* add_bench(CLI::App& bench, const char* name, const char* help, const char* footer,
                    BenchOptions& options) {
  CLI::App* app = bench.add_subcommand(name, help);
  app->footer(footer);
  add_model_argument(*app, options.model);
  add_shape_option(*app, "--like", options.like,
                   "A published shape instead, its weights random and in memory only");
  add_group_option(*app, "--group", options.group);
  add_threads_option(*app, options.model);
  app->add_flag("--json", options.json, "One JSON object (docs/benchmarks.md lists its keys)");
  return app;
}

void add_timing_options(CLI::App& app, BenchOptions& options) {
  add_numerics_option(app, options.model);
  add_count(app, "--repeat", options.repeat, 1, kMostRepeats,
            "Measurements of each row, of which the median is shown (default: 3)");
}

void add_kv_timing_options(CLI::App& app, BenchOptions& options) {
  add_timing_options(app, options);
  add_kv_cache_dtype_option(app, options.model);
}

BenchCommand add_kernels(CLI::App& bench, BenchOptions& options) {
  CLI::App* app = add_bench(
      bench, "kernels", "Products of each shape of weight matrix, for 1, 8, 64 and 512 tokens",
      "Example:\n  bitcpm bench kernels --like minicpm4-0.5b --numerics fast", options);
  add_timing_options(*app, options);
  return {app, bench_kernels};
}

BenchCommand add_attention(CLI::App& bench, BenchOptions& options) {
  CLI::App* app = add_bench(
      bench, "attention", "What attention costs, by the length of the context",
      "Example:\n  bitcpm bench attention --like minicpm4-0.5b --context 1K,8K,32K", options);
  add_kv_timing_options(*app, options);
  add_counts(*app, "--context", options.context, 1, kMostTokens,
             "Positions that a stream's last token attends to (default: 1024,4096,16384,32768)");
  add_counts(*app, "--batch", options.batch, 1, kMostStreams, "Streams at once (default: 1)");
  add_count(*app, "--tokens", options.tokens, 1, kMostTokens,
            "Tokens of each stream in a pass: 1 as in decoding (default), 512 as in a long prompt");
  return {app, bench_attention};
}

BenchCommand add_decode(CLI::App& bench, BenchOptions& options) {
  CLI::App* app =
      add_bench(bench, "decode", "Generated tokens per second, for several numbers of streams",
                "Example:\n  bitcpm bench decode path/to/BitCPM4-0.5B --batch 1,10,100", options);
  add_kv_timing_options(*app, options);
  add_counts(*app, "--batch", options.batch, 1, kMostStreams,
             "Streams at once (default: 1,10,20,50,100)");
  const auto store_one = [&options](const std::string& text) -> std::string {
    const auto count = parse_count_in(text, 1, kMostTokens);
    if (!count.ok()) return count.error().message;
    options.prompt_tokens = {*count};
    return {};
  };
  app->add_option(
         "--prompt-tokens", [](const CLI::results_t&) { return true; },
         "Length of each stream's prompt (default: 16)")
      ->check(store_one)
      ->type_name("N");
  add_count(*app, "--max-tokens", options.max_tokens, 2, kMostTokens,
            "Tokens that each stream generates (default: 64)");
  add_distribution_options(*app, options.sampling, "0", "");
  add_count(*app, "--logprobs", options.logprobs, 0, kMostLogprobs,
            "Most likely tokens to report of each token (default: none)");
  add_speculative_config(*app, "--speculative-config", options.model.speculation);
  return {app, bench_decode};
}

BenchCommand add_prefill(CLI::App& bench, BenchOptions& options) {
  CLI::App* app = add_bench(
      bench, "prefill", "Prompt tokens per second, until the first answer token",
      "Example:\n  bitcpm bench prefill --like bitcpm4-1b --prompt-tokens 128,512,2048", options);
  add_kv_timing_options(*app, options);
  add_counts(*app, "--prompt-tokens", options.prompt_tokens, 1, kMostTokens,
             "Lengths of the prompt (default: 512)");
  return {app, bench_prefill};
}

void add_offline_options(CLI::App& app, BenchOptions& options, const char* output_default) {
  add_numerics_option(app, options.model);
  add_kv_cache_dtype_option(app, options.model);
  add_count(app, "--input-len", options.input_len, 1, kMostTokens,
            "Tokens of each prompt (default: 32)");
  add_count(app, "--output-len", options.output_len, 2, kMostTokens, output_default);
  add_count(app, "--num-iters-warmup", options.warmups, 0, kMostRepeats,
            "Runs that do not count (default: 1 for latency, 0 for throughput)");
  add_count(app, "--num-iters", options.iterations, 1, kMostRepeats,
            "Runs that count (default: 5 for latency, 1 for throughput)");
}

BenchCommand add_latency(CLI::App& bench, BenchOptions& options) {
  CLI::App* app =
      add_bench(bench, "latency", "Seconds from a prompt to the end of its answer",
                "Flags and JSON are those of vllm bench latency.\nExample:\n"
                "  bitcpm bench latency path/to/BitCPM4-0.5B --numerics fast --output-len 64",
                options);
  add_offline_options(*app, options, "Tokens of each answer (default: 64)");
  add_counts(*app, "--batch-size", options.batch, 1, kMostStreams, "Requests at once (default: 1)");
  return {app, bench_latency};
}

BenchCommand add_throughput(CLI::App& bench, BenchOptions& options) {
  CLI::App* app = add_bench(
      bench, "throughput", "Tokens per second of whole batches, prompts included",
      "Flags and JSON are those of vllm bench throughput, with several batches in a run.\nExample:"
      "\n  bitcpm bench throughput --like minicpm4-0.5b --numerics fast --num-prompts 10,100",
      options);
  add_offline_options(*app, options, "Tokens of each answer (default: 128)");
  add_counts(*app, "--num-prompts,--batch-size", options.batch, 1, kMostStreams,
             "Requests at once (default: 10,20,50,100)");
  return {app, bench_throughput};
}

std::string bench_usage_error(const BenchOptions& options, const CLI::App& app) {
  if (!options.like.empty() && !options.model.model.empty()) {
    return "--like makes up a model, so that there is none to name beside it";
  }
  if (options.like.empty() && app.count("--group") > 0) {
    return "--group is about the made-up weights of --like; a checkpoint has its own";
  }
  return {};
}

}  // namespace

Command make_bench_command(CLI::App& root) {
  auto options = std::make_shared<BenchOptions>();  // lives as long as its flags and run
  CLI::App* bench = root.add_subcommand("bench", "Measure speed on this machine");
  bench->footer(
      "bitcpm bench COMMAND --help tells more; docs/benchmarks.md says what is measured.\n"
      "Example:\n  bitcpm bench decode --like minicpm4-0.5b --numerics fast");
  bench->require_subcommand(1);
  std::vector<Command> commands;
  for (const BenchCommand& command :
       {add_latency(*bench, *options), add_throughput(*bench, *options),
        add_decode(*bench, *options), add_prefill(*bench, *options),
        add_attention(*bench, *options), add_kernels(*bench, *options)}) {
    commands.push_back({command.app, [options, command] { return command.run(*options); },
                        [options, command] { return bench_usage_error(*options, *command.app); }});
  }
  commands.push_back(make_bench_serve_command(*bench));
  const auto chosen = [commands]() -> const Command& {
    const auto is_it = [](const Command& command) { return command.app->parsed(); };
    return *std::find_if(commands.begin(), commands.end(), is_it);  // CLI11 requires one of them
  };
  return {bench, [chosen] { return chosen().run(); }, [chosen] { return chosen().usage_error(); }};
}

}  // namespace bitcpm
