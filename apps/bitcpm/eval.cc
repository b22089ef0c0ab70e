#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "eval_runs.h"
#include "option_values.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMostGreedyTexts = 1000;
constexpr std::int64_t kMostGreedyTokens = 4096;
constexpr float kHuge = 1e30f;

struct EvalCommand {
  CLI::App* app;
  Result<ExitCode> (*run)(const EvalOptions& options);
};

CLI::App* add_eval(CLI::App& eval, const char* name, const char* help, const std::string& footer,
                   EvalOptions& options) {
  CLI::App* app = eval.add_subcommand(name, help);
  app->footer(footer);
  add_text_options(*app, options.text);
  app->add_flag("--json", options.json, "One JSON object (docs/accuracy.md lists its keys)");
  return app;
}

void add_common_model(CLI::App& app, EvalOptions& options) {
  app.add_option("--model", options.model.model,
                 "Model of the sides that name none (default: the built-in bitcpm-tiny)")
      ->type_name("DIR");
  add_threads_option(app, options.model);
  add_numerics_option(app, options.model);
  add_kv_cache_dtype_option(app, options.model);
}

void add_greedy(CLI::App& app, EvalOptions& options) {
  add_count(app, "--greedy", options.greedy, 0, kMostGreedyTexts,
            "Texts whose first 32 tokens are continued greedily as well (default: 10)");
  add_count(app, "--greedy-tokens", options.greedy_tokens, 1, kMostGreedyTokens,
            "Tokens of such a continuation (default: 64)");
}

void add_save(CLI::App& app, EvalOptions& options, const std::string& help) {
  app.add_option("--save", options.save_file, help)->type_name("FILE");
  add_greedy(app, options);
}

void add_bounds(CLI::App& app, EvalOptions& options, std::initializer_list<Bound> bounds) {
  for (const BoundFlag& flag : bound_flags()) {
    if (std::find(bounds.begin(), bounds.end(), flag.bound) == bounds.end()) continue;
    add_real(app, flag.flag, options.bounds[static_cast<std::size_t>(flag.bound)],
             flag.is_least ? -1.0f : 0.0f, flag.is_least ? 1.0f : kHuge, flag.help);
  }
}

EvalCommand add_ppl(CLI::App& eval, EvalOptions& options) {
  CLI::App* app =
      add_eval(eval, "ppl", "Perplexity of a model on a text, with an interval",
               "Examples:\n"
               "  bitcpm eval ppl path/to/BitCPM4-0.5B --text wikitext-2-raw-test.jsonl\n"
               "  bitcpm eval ppl --text wiki.test.raw --stride 256 --max-length 512 --json",
               options);
  add_model_argument(*app, options.model);
  add_threads_option(*app, options.model);
  add_numerics_option(*app, options.model);
  add_kv_cache_dtype_option(*app, options.model);
  add_save(*app, options, "Keep the logits, compressed, for eval compare (docs/formats/run.md)");
  return {app, eval_ppl};
}

void add_sides(CLI::App& app, EvalOptions& options) {
  app.add_option("A", options.a, "What B is measured against")->required()->type_name("SIDE");
  app.add_option("B", options.b, "What is measured")->required()->type_name("SIDE");
  add_common_model(app, options);
}

EvalCommand add_compare(CLI::App& eval, EvalOptions& options) {
  CLI::App* app =
      add_eval(eval, "compare", "How far the logits of B are from those of A",
               std::string(kSideHelp) +
                   "\nExit code 1 if a bound is broken.\nExamples:\n"
                   "  bitcpm eval compare numerics=exact numerics=fast --max-kl 3e-4\n"
                   "  bitcpm eval compare isa=scalar isa=avx2 --text book.txt\n"
                   "  bitcpm eval compare npu.run path/to/BitCPM4-0.5B --min-cosine 0.9999",
               options);
  add_sides(*app, options);
  add_save(*app, options, "Keep B's logits, compressed (docs/formats/run.md)");
  app->add_flag("--across-models", options.across_models,
                "Compare a saved run with another model than its own");
  add_bounds(*app, options,
             {Bound::kMaxKl, Bound::kMaxPplChange, Bound::kMinCosine, Bound::kMinWorstCosine,
              Bound::kMaxMse, Bound::kMaxAbs, Bound::kMinTop1, Bound::kMinTop5});
  return {app, eval_compare};
}

EvalCommand add_layers(CLI::App& eval, EvalOptions& options) {
  CLI::App* app =
      add_eval(eval, "layers", "How far hidden states are apart, after and inside every layer",
               std::string(kSideHelp) +
                   "\nExit code 1 if a threshold is broken.\nExample:\n"
                   "  bitcpm eval layers numerics=exact numerics=fast --texts 10 --max-error 0.05",
               options);
  add_sides(*app, options);
  add_real(*app, "--max-error", options.max_error, 0.0f, kHuge,
           "Fail from this relative error on, |B - A| / |A|, and name the layer (default: 0.1)");
  add_real(*app, "--min-cosine", options.min_cosine, -1.0f, 1.0f,
           "The same for a mean cosine below this");
  return {app, eval_layers};
}

EvalCommand add_endpoint(CLI::App& eval, EvalOptions& options) {
  CLI::App* app = add_eval(
      eval, "endpoint",
      "Perplexity of what an OpenAI-compatible server serves, and its distance from a model here",
      "The server must answer /v1/completions with echo and logprobs.\n"
      "Exit code 1 if a bound is broken.\nExamples:\n"
      "  bitcpm eval endpoint http://127.0.0.1:8000 --text wikitext-2-raw-test.jsonl\n"
      "  bitcpm eval endpoint http://host:8000 --tokenizer path/to/BitCPM4-0.5B --against fast.run",
      options);
  add_endpoint_flags(*app, options.endpoint, "URL,--base-url");
  app->add_option("--tokenizer", options.tokenizer,
                  "Model directory whose tokenizer cuts the text (default: the built-in one)")
      ->type_name("DIR");
  app->add_flag("--send-text", options.send_text,
                "Send text instead of token ids; the server counts its own tokens");
  app->add_option("--against", options.a,
                  "Compare with a model here or a saved run: a SIDE as in eval compare")
      ->type_name("SIDE");
  add_count(*app, "--top-logprobs", options.top_logprobs, 1, 1000,
            "Most likely tokens to ask for at every position (default: 5; many servers give at "
            "most 20)");
  add_greedy(*app, options);
  add_bounds(*app, options,
             {Bound::kMaxKl, Bound::kMaxPplChange, Bound::kMinTop1, Bound::kMinTop5});
  return {app, eval_endpoint};
}

}  // namespace

Command make_eval_command(CLI::App& root) {
  auto options = std::make_shared<EvalOptions>();  // lives as long as its flags and run
  CLI::App* eval = root.add_subcommand("eval", "Measure accuracy");
  eval->footer(
      "bitcpm eval COMMAND --help tells more; docs/accuracy.md says what is measured.\n"
      "Example:\n  bitcpm eval compare numerics=exact numerics=fast");
  eval->require_subcommand(1);
  const std::vector<EvalCommand> commands = {add_ppl(*eval, *options), add_compare(*eval, *options),
                                             add_layers(*eval, *options),
                                             add_endpoint(*eval, *options)};
  const auto chosen = [commands] {
    const auto is_it = [](const EvalCommand& command) { return command.app->parsed(); };
    return *std::find_if(commands.begin(), commands.end(), is_it);  // CLI11 requires one of them
  };
  return {eval, [options, chosen] { return chosen().run(*options); },
          [options] { return text_usage_error(options->text); }};
}

}  // namespace bitcpm
