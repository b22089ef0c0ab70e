#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>

#include "backend/backend.h"
#include "backend/numerics.h"
#include "base/result.h"
#include "console.h"
#include "engine/engine.h"
#include "io/model_config.h"
#include "io/model_files.h"
#include "memory_plan.h"
#include "model/loader.h"
#include "model/model.h"
#include "option_values.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace bitcpm {

// The flags by which every command names a model and says how to run it.
struct ModelOptions {
  std::string model;  // empty: the embedded one
  OptionalCount threads;
  Numerics numerics = Numerics::kFast;
  std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt;  // unset: auto
  std::string isa;  // a CPU level; empty: what BITCPM_ISA says, or the best
  OptionalCount max_model_len;
  SpeculationConfig speculation;
  std::string chat_template_file;  // empty: the checkpoint's own
};

void add_model_argument(CLI::App& app, ModelOptions& options);         // MODEL and --model
void add_threads_option(CLI::App& app, ModelOptions& options);         // --threads
void add_numerics_option(CLI::App& app, ModelOptions& options);        // --numerics
void add_kv_cache_dtype_option(CLI::App& app, ModelOptions& options);  // --kv-cache-dtype
void add_running_options(CLI::App& app, ModelOptions& options);        // all that running one needs

// What --threads asks for; by default every CPU this process may use.
int thread_count(const ModelOptions& options);

// What to tell a user whose --threads is more than `cpus`; else empty.
std::string thread_warning(const ModelOptions& options, int cpus);

// The same on standard error, for this process.
void note_thread_warning(const ModelOptions& options);

// The checkpoint's files. Errors: those of ModelFiles::open_directory.
Result<ModelFiles> open_model_files(const ModelOptions& options);

// An error about what these files hold names their directory too.
template <class T>
Result<T> naming_model(const ModelFiles& files, Result<T> result) {
  if (result.ok()) return result;
  return std::move(result).error().within(visible(files.display_name()));
}

// Everything one loaded checkpoint consists of; immutable but for the backend's memory.
struct ModelSetup {
  std::string name;  // as given, or the embedded model's
  ModelConfig config;
  std::int32_t max_model_len;  // --max-model-len or what the model allows
  KvCacheDtype kv_cache_dtype;
  Tokenizer tokenizer;
  ChatTemplate chat_template;
  std::unique_ptr<Backend> backend;  // before the model, which refers to it
  std::unique_ptr<Model> model;
  ModelReport report;
  SpeculationConfig speculation;
};

// The CPU as --threads, --numerics and the environment variable BITCPM_ISA want it.
Result<std::unique_ptr<Backend>> make_backend(const ModelOptions& options);

// tokenizer.json and tokenizer_config.json of a checkpoint.
Result<Tokenizer> load_tokenizer(ModelFiles& files);

// Opens, parses and loads, with a progress bar; the files are closed again. The environment
// variable BITCPM_ISA forces the CPU level. Errors: of whatever fails, naming directory and
// file; kInvalid before anything is loaded if --max-model-len is more than the model allows.
Result<ModelSetup> load_model_setup(const ModelOptions& options);

// The engine for one request at a time, of at most `max_model_len` tokens.
Result<std::unique_ptr<Engine>> start_single_engine(const ModelSetup& setup,
                                                    std::int64_t max_model_len);

// What plan_memory() asks of this model on this machine, now; no size of a KV cache asked for.
// Errors: kExhausted.
Result<MemoryRequest> memory_request(const ModelSetup& setup, std::int32_t max_model_len,
                                     std::int32_t max_num_seqs,
                                     std::int32_t max_num_batched_tokens);

}  // namespace bitcpm
