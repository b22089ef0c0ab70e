#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "base/quote.h"
#include "commands.h"
#include "console.h"
#include "interrupt.h"
#include "io/packed_manifest.h"
#include "io/packed_writer.h"
#include "model/packer.h"
#include "model_setup.h"
#include "new_files.h"
#include "progress.h"

namespace bitcpm {
namespace {

namespace fs = std::filesystem;

// What else belongs to a checkpoint; copied as it is where it exists.
constexpr std::string_view kSmallFiles[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
};
constexpr std::size_t kMaxSmallFile = std::size_t{64} << 20;

struct PackOptions {
  ModelOptions model;
  std::string out;
  bool force = false;
  bool json = false;
};

struct Outcome {
  ModelReport report;
  std::size_t packed_bytes = 0;
  double seconds = 0;
};

Status refuse_same_folder(const PackOptions& options) {
  std::error_code ignored;
  if (!fs::equivalent(options.model.model, options.out, ignored)) return {};
  return Error{Errc::kInvalid, options.out + " is the model itself; name another folder"};
}

Status copy_small_files(ModelFiles& files, NewFiles& made) {
  for (const std::string_view name : kSmallFiles) {
    if (!files.contains(name)) continue;
    BITCPM_ASSIGN(const std::string_view text, files.open_text(name));
    if (text.size() > kMaxSmallFile) {
      return Error{Errc::kUnsupported, std::string(name) + ": more than 64 MiB"};
    }
    BITCPM_TRY(write_text_file(made.add(name), text));
  }
  return {};
}

// What an earlier run left, as --force allows. The manifest goes first: without it the rest is no
// model, so that at no time one half is old and the other new.
Status remove_old_files(const fs::path& out) {
  std::error_code error;
  fs::remove(out / kManifestFile, error);
  if (!error) fs::remove(out / kPackedDataFile, error);
  for (const std::string_view name : kSmallFiles) {
    if (!error) fs::remove(out / name, error);
  }
  if (error) return Error{Errc::kIo, out.string() + ": " + error.message()};
  return {};
}

// The name of the folder, not the way to it, which would tell strangers about this machine.
std::string model_name(const std::string& model) {
  const fs::path path = fs::path(model).lexically_normal();
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  return check_utf8(name, "name").ok() ? name : escaped(name);  // JSON is UTF-8
}

Result<Outcome> pack(const PackOptions& options, InterruptGuard& interrupt, NewFiles& made) {
  BITCPM_ASSIGN(ModelFiles files, open_model_files(options.model));
  if (is_packed(files)) {
    return Error{Errc::kInvalid, options.model.model + " is packed already"};
  }
  BITCPM_ASSIGN(const ModelConfig config, naming_model(files, read_model_config(files)));
  // The layouts do not depend on the level; the numerics that use them as they are do.
  BITCPM_ASSIGN(
      const std::unique_ptr<Backend> backend,
      make_cpu_backend(
          {.threads = thread_count(options.model), .isa = "auto", .numerics = Numerics::kFast}));
  BITCPM_TRY(prepare_folder(options.out, options.force));
  BITCPM_ASSIGN(PackedWriter writer, PackedWriter::create(options.out));

  Progress progress("packing");
  const auto show = [&](std::size_t done, std::size_t total, std::string_view tensor) {
    progress.update(done, total, tensor);
    return !interrupt.take();
  };
  BITCPM_ASSIGN(PackedModel packed,
                naming_model(files, pack_weights(files, config, *backend, writer, show)));
  packed.manifest.written_by = "bitcpm " BITCPM_VERSION;
  packed.manifest.model = model_name(options.model.model);
  const std::string manifest = manifest_text(packed.manifest);
  BITCPM_TRY(parse_manifest(manifest));  // what no reader would accept is not worth writing
  BITCPM_ASSIGN(PartialFile manifest_file,
                PartialFile::create(fs::path(options.out) / kManifestFile));
  BITCPM_TRY(manifest_file.append(std::as_bytes(std::span(manifest))));

  BITCPM_TRY(remove_old_files(options.out));
  made.add(kPackedDataFile);
  BITCPM_TRY(writer.finish());
  BITCPM_TRY(copy_small_files(files, made));
  if (interrupt.take()) return Error{Errc::kExhausted, "interrupted"};
  made.add(kManifestFile);
  BITCPM_TRY(manifest_file.finish());
  return Outcome{std::move(packed.report), writer.bytes(), 0};
}

std::string outcome_json(const PackOptions& options, const Outcome& outcome) {
  const ModelReport& report = outcome.report;
  return pretty_json(json::object{
             {"model", options.model.model},
             {"out", options.out},
             {"format_version", kPackedVersion},
             {"tensors", report.tensors.size()},
             {"parameters", report.parameters},
             {"ternary_parameters", report.ternary_parameters},
             {"stored_bytes", report.stored_bytes},
             {"packed_bytes", outcome.packed_bytes},
             {"seconds", outcome.seconds},
             {"warnings", json::array(report.warnings.begin(), report.warnings.end())}}) +
         "\n";
}

std::string outcome_text(const PackOptions& options, const Outcome& outcome) {
  const ModelReport& report = outcome.report;
  std::string text = fmt::format(
      "{}: {} of weights packed into {} ({:.1f} %) in {:.1f} s; {} tensors, {:.1f} % of the "
      "parameters ternary\n",
      visible(options.out), human_bytes(report.stored_bytes), human_bytes(outcome.packed_bytes),
      100.0 * static_cast<double>(outcome.packed_bytes) /
          static_cast<double>(std::max<std::size_t>(report.stored_bytes, 1)),
      outcome.seconds, report.tensors.size(),
      100.0 * static_cast<double>(report.ternary_parameters) /
          static_cast<double>(std::max<std::int64_t>(report.parameters, 1)));
  for (const std::string& warning : report.warnings) text += "warning: " + visible(warning) + "\n";
  return text;
}

Result<ExitCode> run_pack(const PackOptions& options) {
  note_thread_warning(options.model);
  BITCPM_TRY(refuse_same_folder(options));
  InterruptGuard interrupt;  // a Ctrl-C leaves nothing behind
  const auto start = std::chrono::steady_clock::now();
  std::error_code ignored;  // prepare_folder() meets it too
  NewFiles made(options.out, !fs::exists(options.out, ignored));
  Result<Outcome> outcome = pack(options, interrupt, made);
  if (!outcome.ok() && !interrupt.came()) return std::move(outcome).error();
  if (!outcome.ok()) {
    print_note("interrupted");
    return ExitCode::kInterrupted;
  }
  made.keep();
  outcome->seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const bool printed =
      print(options.json ? outcome_json(options, *outcome) : outcome_text(options, *outcome));
  if (!printed) return Error{Errc::kIo, "standard output cannot be written"};
  return ExitCode::kSuccess;
}

}  // namespace

Command make_pack_command(CLI::App& root) {
  auto options = std::make_shared<PackOptions>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("pack", "Write a checkpoint in the form it runs in");
  app->footer(
      "Losslessly: OUT gives the same bits as MODEL, is about a third of its size and loads in a "
      "fraction of a\nsecond, on every CPU. serve, complete, chat and inspect take OUT as MODEL.\n"
      "Example:\n  bitcpm pack path/to/BitCPM4-0.5B bitcpm4-0.5b-packed");
  app->add_option("MODEL", options->model.model, "Directory of a Hugging Face checkpoint")
      ->required()
      ->type_name(" ");
  app->add_option("OUT", options->out, "Folder to write")->required()->type_name(" ");
  app->add_flag("--force", options->force, "Replace a packed model in a folder that is not empty");
  app->add_flag("--json", options->json, "One JSON object instead of the line");
  add_threads_option(*app, options->model);
  return {app, [options] { return run_pack(*options); }};
}

}  // namespace bitcpm
