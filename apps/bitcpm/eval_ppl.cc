#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "bench_report.h"
#include "console.h"
#include "eval_runs.h"
#include "measure/saved_run.h"
#include "progress.h"

namespace bitcpm {
namespace {

std::string interval_text(const Interval& interval) {
  return fmt::format("{:.2f} to {:.2f}", interval.low, interval.high);
}

json::array interval_json(const Interval& interval) { return {interval.low, interval.high}; }

std::string ppl_text(const EvalOptions& options, const EvalSide& side, const Perplexity& ppl) {
  std::vector<TableRow> rows = {{"", "perplexity", "95 % interval"},
                                {"every prediction once", fmt::format("{:.4f}", ppl.by_predictions),
                                 interval_text(ppl.by_predictions_interval)}};
  if (!options.text.stride) {
    rows.push_back({"mean loss per text, weighted by its tokens",
                    fmt::format("{:.4f}", ppl.by_tokens), interval_text(ppl.by_tokens_interval)});
  }
  return fmt::format(
      "ppl: {}\n{}\n{} {}, {} tokens, {} predictions\n\n{}", side.description(),
      describe_text(options.text), ppl.windows, options.text.stride ? "windows" : "texts",
      with_commas(static_cast<std::int64_t>(ppl.tokens)),
      with_commas(static_cast<std::int64_t>(ppl.predictions)), format_table(rows, 1));
}

json::object ppl_json(const EvalOptions& options, const EvalSide& side, const Perplexity& ppl,
                      std::span<const WindowLoss> losses) {
  json::object object = side.description_json();
  object["command"] = "ppl";
  object["text"] = text_json(options.text);
  for (auto& entry : perplexity_json(ppl)) object[entry.key()] = entry.value();
  object["losses"] = losses_json(losses);
  return object;
}

}  // namespace

json::object perplexity_json(const Perplexity& ppl) {
  return {{"windows", ppl.windows},
          {"tokens", ppl.tokens},
          {"predictions", ppl.predictions},
          {"perplexity", ppl.by_predictions},
          {"perplexity_interval", interval_json(ppl.by_predictions_interval)},
          {"perplexity_by_tokens", ppl.by_tokens},
          {"perplexity_by_tokens_interval", interval_json(ppl.by_tokens_interval)}};
}

json::array losses_json(std::span<const WindowLoss> losses) {
  json::array list;
  for (const WindowLoss& loss : losses) {
    list.push_back(
        {{"tokens", loss.tokens}, {"predictions", loss.predictions}, {"loss", loss.loss}});
  }
  return list;
}

Result<std::vector<GreedyText>> side_greedy(EvalSide& side, std::span<const EvalWindow> windows,
                                            const EvalOptions& options) {
  if (side.is_run()) return side.run().greedy;
  GreedyLoad load;
  load.texts = static_cast<std::int32_t>(options.greedy.value_or(load.texts));
  load.max_tokens = static_cast<std::int32_t>(options.greedy_tokens.value_or(load.max_tokens));
  load.kv_cache_dtype = side.kv_cache_dtype();
  const auto total = static_cast<double>(load.max_tokens) *
                     static_cast<double>(std::min<std::size_t>(
                         windows.size(), static_cast<std::size_t>(load.texts)));
  Progress progress("generating");
  return greedy_texts(side.model(), windows, load, [&](std::int64_t tokens) {
    progress.update_share(static_cast<double>(tokens) / total, "greedy texts");
  });
}

Status print_all(const std::string& text) {
  if (!print(text)) return Error{Errc::kIo, "standard output cannot be written"};
  return {};
}

Result<ExitCode> eval_ppl(const EvalOptions& options) {
  BITCPM_ASSIGN(EvalSide side, EvalSide::open({options.model, {}}));
  std::vector<EvalWindow> windows;
  {
    BITCPM_ASSIGN(const Tokenizer tokenizer, side.tokenizer());
    BITCPM_ASSIGN(windows, choose_windows(options.text, tokenizer,
                                          side.model().config().max_position_embeddings));
  }
  BITCPM_ASSIGN(LogitsSource * source, side.source(longest_window(windows)));
  std::optional<RunWriter> writer;
  std::unique_ptr<LogitsSource> recorder;
  if (!options.save_file.empty()) {
    RunHeader header = side.header();
    header.text = describe_text(options.text);
    header.windows = windows;
    BITCPM_ASSIGN(header.greedy, side_greedy(side, windows, options));
    BITCPM_ASSIGN(writer, RunWriter::create(options.save_file, header));
    recorder = recording(*source, *writer);
    source = recorder.get();
  }
  std::vector<WindowLoss> losses;
  {
    Progress progress("reading");  // wiped before anything is printed
    const std::size_t total = count_rows(windows);
    const auto show = [&](std::size_t rows) {
      progress.update_share(static_cast<double>(rows) / static_cast<double>(total),
                            fmt::format("{} of {} tokens", rows, total));
    };
    BITCPM_ASSIGN(losses, score_windows(*source, windows, show));
  }
  if (writer) BITCPM_TRY(writer->finish());
  const Perplexity ppl = perplexity_of(losses);
  BITCPM_TRY(print_all(options.json ? pretty_json(ppl_json(options, side, ppl, losses)) + "\n"
                                    : ppl_text(options, side, ppl)));
  return ExitCode::kSuccess;
}

}  // namespace bitcpm
