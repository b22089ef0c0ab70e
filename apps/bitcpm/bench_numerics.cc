#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/mmap_file.h"
#include "bench_report.h"
#include "bench_runs.h"
#include "console.h"
#include "measure/drift_run.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr std::size_t kPieceTokens = 512;

struct LoadedNumerics {
  std::unique_ptr<Backend> backend;  // before the model, which refers to it
  LoadedModel loaded;
};

Result<LoadedNumerics> load_as(BenchSource& source, ModelOptions options, Numerics numerics) {
  options.numerics = numerics;
  BITCPM_ASSIGN(std::unique_ptr<Backend> backend, make_backend(options));
  BITCPM_ASSIGN(LoadedModel loaded, source.load(*backend));
  return LoadedNumerics{std::move(backend), std::move(loaded)};
}

Result<std::vector<TokenId>> encode_file(const Tokenizer& tokenizer, const std::string& path) {
  BITCPM_ASSIGN(const MmapFile file, MmapFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  BITCPM_TRY(check_utf8(text, path));
  auto ids = tokenizer.encode(text, true);
  if (!ids.ok()) return std::move(ids).error().within(path);
  if (ids->size() < 2) return Error{Errc::kInvalid, path + ": a text has at least two tokens"};
  return ids;
}

json::object drift_json(const BenchOptions& options, const BenchSource& source,
                        const std::string& device, const DriftMeter& drift) {
  return {{"command", "numerics"},
          {"model", source.name()},
          {"device", device},
          {"text", options.text_file.empty() ? "built-in" : options.text_file},
          {"positions", drift.positions()},
          {"mean_kl", drift.mean_kl()},
          {"perplexity_exact", drift.want_ppl()},
          {"perplexity_fast", drift.got_ppl()},
          {"perplexity_change", drift.ppl_change()},
          {"cosine_mean", drift.mean_cosine()},
          {"cosine_min", drift.least_cosine()},
          {"mse", drift.mean_square()},
          {"largest_difference", drift.largest()},
          {"same_top1_share", drift.same_top()}};
}

std::string drift_text(const BenchOptions& options, const BenchSource& source,
                       const std::string& device, const DriftMeter& drift) {
  const std::vector<TableRow> rows = {
      {"positions", with_commas(static_cast<std::int64_t>(drift.positions()))},
      {"mean KL", fmt::format("{:.3e}", drift.mean_kl())},
      {"perplexity, exact", fmt::format("{:.4f}", drift.want_ppl())},
      {"perplexity, fast",
       fmt::format("{:.4f} ({:+.3f} %)", drift.got_ppl(), 100 * drift.ppl_change())},
      {"cosine, mean", fmt::format("{:.7f}", drift.mean_cosine())},
      {"cosine, min", fmt::format("{:.7f}", drift.least_cosine())},
      {"MSE of a logit", fmt::format("{:.3e}", drift.mean_square())},
      {"largest difference of a logit", fmt::format("{:.4f}", drift.largest())},
      {"same top-1", fmt::format("{:.2f} %", 100 * drift.same_top())}};
  return fmt::format("numerics: {}; fast against exact on {}; {}\n\n{}", visible(source.name()),
                     options.text_file.empty() ? "the built-in text" : visible(options.text_file),
                     device, format_table(rows, 2));
}

}  // namespace

Result<ExitCode> bench_numerics(const BenchOptions& options) {
  note_thread_warning(options.model);
  BITCPM_ASSIGN(BenchSource source, BenchSource::open(options));
  BITCPM_ASSIGN(const Tokenizer tokenizer, source.tokenizer());
  BITCPM_ASSIGN(const std::vector<TokenId> ids, options.text_file.empty()
                                                    ? tokenizer.encode(bench_text(), true)
                                                    : encode_file(tokenizer, options.text_file));
  const auto most = static_cast<std::size_t>(source.config().max_position_embeddings);
  const auto pieces = cut_text(ids, std::min(kPieceTokens, most));
  BITCPM_ASSIGN(const LoadedNumerics exact, load_as(source, options.model, Numerics::kExact));
  BITCPM_ASSIGN(const LoadedNumerics fast, load_as(source, options.model, Numerics::kFast));
  DriftMeter drift;
  {
    Progress progress("comparing");  // wiped before anything is printed
    const auto show = [&](std::size_t positions) {
      progress.update_share(static_cast<double>(positions) / static_cast<double>(ids.size()),
                            fmt::format("{} of {} tokens", positions, ids.size()));
    };
    BITCPM_ASSIGN(drift, measure_drift(*exact.loaded.model, *fast.loaded.model, pieces, show,
                                       options.model.kv_cache_dtype));
  }
  const std::string device = fast.backend->description();
  const bool printed =
      print(options.json ? pretty_json(drift_json(options, source, device, drift)) + "\n"
                         : drift_text(options, source, device, drift));
  if (!printed) return Error{Errc::kIo, "standard output cannot be written"};
  return ExitCode::kSuccess;
}

}  // namespace bitcpm
