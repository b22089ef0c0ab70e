#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "commands.h"
#include "console.h"
#include "interrupt.h"
#include "model_setup.h"
#include "sampling_options.h"
#include "server/token_text.h"
#include "text_run.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kDefaultMaxTokens = 128;
constexpr std::size_t kMaxPromptBytes = std::size_t{16} << 20;  // Tokenizer::encode's limit
constexpr std::int64_t kMaxLogprobs = 20;

struct CompleteOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::string prompt;
  OptionalCount logprobs;
  bool json = false;
  bool verbose = false;
};

Result<std::string> read_standard_input() {
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error{Errc::kIo, "standard input cannot be read"};
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
    if (text.size() > kMaxPromptBytes) return Error{Errc::kInvalid, "the prompt exceeds 16 MiB"};
  }
}

// Generated tokens allowed. A length asked for must fit; the default one is cut to what does.
Result<std::int32_t> choose_max_tokens(OptionalCount wanted, std::int32_t max_model_len,
                                       std::size_t prompt_tokens) {
  const std::int64_t room = max_model_len - static_cast<std::int64_t>(prompt_tokens);
  if (room < wanted.value_or(1)) {
    const std::string answer = wanted ? fmt::format("--max-tokens {}", *wanted) : "an answer";
    return Error{Errc::kInvalid,
                 fmt::format("the prompt's {} tokens and {} exceed the context of {}",
                             prompt_tokens, answer, max_model_len)};
  }
  return static_cast<std::int32_t>(std::min(wanted.value_or(kDefaultMaxTokens), room));
}

double per_second(std::size_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

json::object timings_json(const TextRequest& request, const TextResult& result) {
  const std::size_t steps = result.token_ids.empty() ? 0 : result.token_ids.size() - 1;
  return {{"prefill_s", result.prefill_seconds},
          {"prefill_tokens_per_s", per_second(request.prompt.size(), result.prefill_seconds)},
          {"decode_s", result.decode_seconds},
          {"decode_tokens_per_s", per_second(steps, result.decode_seconds)}};
}

json::array logprobs_json(const TokenText& spelling, const TextResult& result) {
  json::array list;
  for (const TokenLogprobs& position : result.logprobs) {
    json::array top;
    for (const TokenLogprobs::Entry& entry : position.top) {
      top.push_back({{"token", spelling.spell(entry.token)},
                     {"token_id", entry.token},
                     {"logprob", entry.logprob}});
    }
    list.push_back({{"token", spelling.spell(position.chosen.token)},
                    {"token_id", position.chosen.token},
                    {"logprob", position.chosen.logprob},
                    {"rank", position.rank},
                    {"top", std::move(top)}});
  }
  return list;
}

json::object result_json(const std::string& prompt, const ModelSetup& setup,
                         const TextRequest& request, const TextResult& result) {
  const std::size_t prompt_tokens = request.prompt.size();
  const std::size_t completion_tokens = result.token_ids.size();
  json::object root{{"model", setup.name},
                    {"prompt", prompt},
                    {"text", result.text},
                    {"finish_reason", result.finish_reason},
                    {"usage",
                     {{"prompt_tokens", prompt_tokens},
                      {"completion_tokens", completion_tokens},
                      {"total_tokens", prompt_tokens + completion_tokens}}},
                    {"seed", request.sampling.seed},
                    {"prompt_token_ids", json::array(request.prompt.begin(), request.prompt.end())},
                    {"token_ids", json::array(result.token_ids.begin(), result.token_ids.end())}};
  if (request.sampling.logprobs) {
    root["logprobs"] = logprobs_json(TokenText(setup.tokenizer, false), result);
  }
  root["timings"] = timings_json(request, result);
  return root;
}

std::string logprobs_table(const TokenText& spelling, const TextResult& result) {
  std::string table = "\n" + padded("token", 16) + "   logprob    rank  most likely\n";
  const auto shown = [&](TokenId id) { return '"' + visible(spelling.spell(id)) + '"'; };
  for (const TokenLogprobs& position : result.logprobs) {
    table += padded(shown(position.chosen.token), 16) +
             fmt::format("  {:8.4f}  {:6}  ", position.chosen.logprob, position.rank);
    for (const TokenLogprobs::Entry& entry : position.top) {
      table += fmt::format("{} {:.4f}  ", shown(entry.token), entry.logprob);
    }
    table.erase(table.find_last_not_of(' ') + 1);
    table += '\n';
  }
  return table;
}

void print_timings(const TextRequest& request, const TextResult& result) {
  const std::size_t steps = result.token_ids.empty() ? 0 : result.token_ids.size() - 1;
  print_note(fmt::format(
      "prompt {} tokens in {:.3f} s ({:.1f} tok/s), answer {} tokens, {:.1f} tok/s; "
      "finish_reason {}, seed {}",
      request.prompt.size(), result.prefill_seconds,
      per_second(request.prompt.size(), result.prefill_seconds), result.token_ids.size(),
      per_second(steps, result.decode_seconds), result.finish_reason, request.sampling.seed));
}

Status print_result(const CompleteOptions& options, const std::string& prompt,
                    const ModelSetup& setup, const TextRequest& request, const TextResult& result) {
  std::string rest = "\n";
  if (options.json) rest = pretty_json(result_json(prompt, setup, request, result)) + "\n";
  if (!options.json && request.sampling.logprobs) {
    rest += logprobs_table(TokenText(setup.tokenizer, false), result);
  }
  if (!print(rest)) return Error{Errc::kIo, "standard output cannot be written"};
  if (options.verbose) print_timings(request, result);
  return {};
}

Result<ExitCode> run_complete(const CompleteOptions& options) {
  std::string prompt = options.prompt;
  if (prompt == "-") {
    BITCPM_ASSIGN(prompt, read_standard_input());
  }
  BITCPM_TRY(check_utf8(prompt, "the prompt"));
  note_thread_warning(options.model);
  BITCPM_ASSIGN(const ModelSetup setup, load_model_setup(options.model));
  if (options.verbose) {
    for (const std::string& warning : setup.report.warnings) print_note(warning);
  }
  TextRequest request;
  BITCPM_ASSIGN(request.prompt, setup.tokenizer.encode(prompt, true));
  request.sampling = make_sampling_params(options.sampling, setup.config.generation);
  request.sampling.logprobs = options.logprobs;
  request.stop = options.sampling.stop;
  BITCPM_ASSIGN(
      request.sampling.max_tokens,
      choose_max_tokens(options.sampling.max_tokens, setup.max_model_len, request.prompt.size()));

  // The KV cache is made for this one request.
  BITCPM_ASSIGN(const std::unique_ptr<Engine> engine,
                start_single_engine(setup, static_cast<std::int64_t>(request.prompt.size()) +
                                               request.sampling.max_tokens));
  InterruptGuard interrupt;  // Ctrl-C ends the answer; what there is is still reported
  bool interrupted = false;
  const auto show = [&](std::string_view piece) {
    interrupted = interrupt.take();
    return (options.json || print(piece)) && !interrupted;
  };
  BITCPM_ASSIGN(const TextResult result, run_text(*engine, setup.tokenizer, request, show));
  BITCPM_TRY(print_result(options, prompt, setup, request, result));
  if (!interrupted) return ExitCode::kSuccess;
  print_note("interrupted");
  return ExitCode::kInterrupted;
}

}  // namespace

Command make_complete_command(CLI::App& root) {
  auto options = std::make_shared<CompleteOptions>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("complete", "Continue a text");
  app->footer("Example:\n  bitcpm complete --prompt '你好,请介绍一下你自己' --temperature 0 -v");
  add_running_options(*app, options->model);
  app->add_option("--prompt", options->prompt, "The text; - reads standard input")
      ->required()
      ->type_name("TEXT");
  add_count(*app, "--max-tokens", options->sampling.max_tokens, 1,
            std::numeric_limits<std::int32_t>::max(), "Length of the answer (default: 128)");
  add_sampling_options(*app, options->sampling);
  add_count(*app, "--logprobs", options->logprobs, 0, kMaxLogprobs,
            "Show each token's log-probability and the N most likely ones");
  app->add_flag("--json", options->json, "One JSON object instead of the text");
  app->add_flag("-v,--verbose", options->verbose, "Timings and warnings on standard error");
  return {app, [options] { return run_complete(*options); }};
}

}  // namespace bitcpm
