#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "checkpoint_writer.h"
#include "commands.h"
#include "console.h"
#include "embedded_model.h"
#include "interrupt.h"
#include "io/packed_manifest.h"
#include "model/synthetic.h"
#include "model_setup.h"
#include "new_files.h"
#include "progress.h"
#include "synthetic_options.h"
#include "synthetic_tokenizer.h"

namespace bitcpm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxShardBytes = 5'000'000'000;  // Hugging Face's own default
constexpr std::size_t kOtherFilesBytes = std::size_t{16}
                                         << 20;  // tokenizer and configs, generously

struct SynthOptions {
  std::string folder;
  std::string like;
  std::string group_size = "128";
  std::uint64_t seed = 0;
  bool force = false;
  ModelOptions model;  // only its thread count
};

// A checkpoint written here before; its shards would otherwise be found beside the new ones.
bool is_weight_file(const std::string& name) {
  return name == kManifestFile || name == kPackedDataFile || name == "model.safetensors" ||
         name == "model.safetensors.index.json" ||
         (name.starts_with("model-") && name.ends_with(".safetensors"));
}

Status remove_old_weights(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (is_weight_file(entry.path().filename().string())) old.push_back(entry.path());
  }
  for (const fs::path& path : old) {
    if (!error) fs::remove(path, error);
  }
  if (error) return Error{Errc::kIo, folder.string() + ": " + error.message()};
  return {};
}

Status check_free_space(const std::string& folder, std::size_t needed) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return Error{Errc::kIo, folder + ": " + error.message()};
  if (space.available < needed) {
    return Error{Errc::kExhausted, fmt::format("{} has {} free, but {} are needed", folder,
                                               human_bytes(space.available), human_bytes(needed))};
  }
  return {};
}

Status write_small_files(const SyntheticShape& shape, NewFiles& made) {
  ModelFiles tiny = open_embedded_model();
  BITCPM_ASSIGN(const std::string_view tokenizer, tiny.open_text("tokenizer.json"));
  BITCPM_ASSIGN(const std::string_view tokenizer_config, tiny.open_text("tokenizer_config.json"));
  BITCPM_ASSIGN(const TokenizerFiles grown,
                grow_tokenizer(tokenizer, tokenizer_config, kSyntheticFirstAddedToken,
                               kSyntheticMaxPosition));
  BITCPM_ASSIGN(const json::value config, parse_json(synthetic_config_json(shape)));
  BITCPM_ASSIGN(const json::value generation, parse_json(synthetic_generation_config_json()));
  BITCPM_TRY(write_text_file(made.add("tokenizer.json"), grown.tokenizer_json));
  BITCPM_TRY(write_text_file(made.add("tokenizer_config.json"), grown.tokenizer_config_json));
  BITCPM_TRY(write_text_file(made.add("generation_config.json"), pretty_json(generation) + "\n"));
  return write_text_file(made.add("config.json"), pretty_json(config) + "\n");
}

Status write_weights(const SynthOptions& options, const std::vector<Shard>& shards,
                     std::size_t total_bytes, InterruptGuard& interrupt, NewFiles& made) {
  const SyntheticValues values{options.seed, synthetic_group(options.group_size)};
  ThreadPool pool(thread_count(options.model));
  Progress progress("writing");
  std::size_t done = 0;
  const auto advance = [&](std::size_t bytes, std::string_view tensor) {
    done += bytes;
    progress.update(done, total_bytes, tensor);
    return !interrupt.take();
  };
  for (const Shard& shard : shards) {
    made.add(shard.file_name);
    BITCPM_TRY(write_shard(shard, values, options.folder, pool, advance));
  }
  if (shards.size() == 1) return {};
  return write_text_file(made.add("model.safetensors.index.json"), shard_index_json(shards));
}

Status write_checkpoint(const SynthOptions& options, InterruptGuard& interrupt) {
  const SyntheticShape& shape = *find_synthetic_shape(options.like);  // the flag allows no other
  const std::vector<TensorSlot> tensors = synthetic_tensors(shape);
  std::size_t total_bytes = 0;
  for (const TensorSlot& tensor : tensors) total_bytes += tensor.bf16_bytes();

  std::error_code ignored;  // prepare_folder() meets it too
  NewFiles made(options.folder, !fs::exists(options.folder, ignored));
  BITCPM_TRY(prepare_folder(options.folder, options.force));
  BITCPM_TRY(remove_old_weights(options.folder));
  BITCPM_TRY(check_free_space(options.folder, total_bytes + kOtherFilesBytes));
  const auto start = std::chrono::steady_clock::now();
  BITCPM_TRY(
      write_weights(options, plan_shards(tensors, kMaxShardBytes), total_bytes, interrupt, made));
  BITCPM_TRY(write_small_files(shape, made));
  if (interrupt.take()) return Error{Errc::kExhausted, "interrupted"};
  made.keep();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  print_note(fmt::format(
      "{}: random weights of {}'s shape, {} in {:.1f} s ({}/s)", options.folder, options.like,
      human_bytes(total_bytes), took.count(),
      human_bytes(static_cast<std::size_t>(static_cast<double>(total_bytes) / took.count()))));
  return {};
}

Result<ExitCode> run_synth(const SynthOptions& options) {
  note_thread_warning(options.model);
  InterruptGuard interrupt;  // a Ctrl-C leaves nothing behind
  const Status written = write_checkpoint(options, interrupt);
  if (written.ok()) return ExitCode::kSuccess;
  if (!interrupt.came()) return written.error();
  print_note("interrupted");
  return ExitCode::kInterrupted;
}

}  // namespace

Command make_synth_command(CLI::App& root) {
  auto options = std::make_shared<SynthOptions>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("synth", "Write a random checkpoint of a published shape");
  app->footer(
      "The weights mean nothing: this is for measuring and testing where no real checkpoint is at "
      "hand.\nExample:\n  bitcpm synth /tmp/random-0.5b --like minicpm4-0.5b --group-size 128");
  app->add_option("DIR", options->folder, "Folder to write")->required()->type_name(" ");
  add_shape_option(*app, "--like", options->like, "The shape")->required();
  add_group_option(*app, "--group-size", options->group_size);
  app->add_option("--seed", options->seed, "Decides every weight (default: 0)");
  app->add_flag("--force", options->force, "Replace a checkpoint in a folder that is not empty");
  add_threads_option(*app, options->model);
  return {app, [options] { return run_synth(*options); }};
}

}  // namespace bitcpm
