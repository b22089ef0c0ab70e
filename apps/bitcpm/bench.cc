#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench_runs.h"
#include "commands.h"
#include "option_values.h"
#include "synthetic_options.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMostStreams = 4096;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 20;
constexpr std::int64_t kMostRepeats = 1000;

// One thing to measure.
struct BenchCommand {
  CLI::App* app;
  Result<ExitCode> (*run)(const BenchOptions& options);
};

CLI::App* add_bench(CLI::App& bench, const char* name, const char* help, const char* footer,
                    BenchOptions& options) {
  CLI::App* app = bench.add_subcommand(name, help);
  app->footer(footer);
  add_model_argument(*app, options.model);
  add_shape_option(*app, options.like,
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

BenchCommand add_numerics(CLI::App& bench, BenchOptions& options) {
  CLI::App* app =
      add_bench(bench, "numerics", "How far the logits of fast numerics are from exact ones",
                "Example:\n  bitcpm bench numerics path/to/BitCPM4-0.5B --text book.txt", options);
  app->add_option("--text", options.text_file,
                  "UTF-8 text, read in pieces of 512 tokens (default: a built-in one)")
      ->type_name("FILE");
  add_kv_cache_dtype_option(*app, options.model);
  return {app, bench_numerics};
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
  CLI::App* bench = root.add_subcommand("bench", "Measure speed and accuracy on this machine");
  bench->footer(
      "bitcpm bench COMMAND --help tells more; docs/benchmarks.md says what is measured.\n"
      "Example:\n  bitcpm bench decode --like minicpm4-0.5b --numerics fast");
  bench->require_subcommand(1);
  const std::vector<BenchCommand> commands = {
      add_kernels(*bench, *options), add_decode(*bench, *options), add_prefill(*bench, *options),
      add_numerics(*bench, *options)};
  const auto chosen = [commands] {
    const auto is_it = [](const BenchCommand& command) { return command.app->parsed(); };
    return *std::find_if(commands.begin(), commands.end(), is_it);  // CLI11 requires one of them
  };
  return {bench, [options, chosen] { return chosen().run(*options); },
          [options, chosen] { return bench_usage_error(*options, *chosen().app); }};
}

}  // namespace bitcpm
