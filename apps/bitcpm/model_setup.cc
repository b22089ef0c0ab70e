#include "model_setup.h"

#include <fmt/format.h>

#include <future>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "base/cpu_budget.h"
#include "base/memory_budget.h"
#include "base/mmap_file.h"
#include "embedded_model.h"
#include "engine/sampler.h"
#include "io/packed_manifest.h"
#include "progress.h"
#include "speculative_config.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMaxThreads = 1024;
constexpr std::int64_t kMaxPositions = std::int64_t{1} << 30;
constexpr std::size_t kMaxTemplateBytes = std::size_t{1} << 20;

// A file of the checkpoint that may be missing; empty then.
Result<std::string_view> optional_text(ModelFiles& files, std::string_view name) {
  if (!files.contains(name)) return std::string_view{};
  return files.open_text(name);
}

// The files that text goes through, opened: ModelFiles is for one thread.
struct TextFiles {
  std::string_view tokenizer;
  std::string_view tokenizer_config;
  std::string_view jinja;
};

Result<TextFiles> open_text_files(ModelFiles& files) {
  TextFiles text;
  BITCPM_ASSIGN(text.tokenizer_config, optional_text(files, "tokenizer_config.json"));
  BITCPM_ASSIGN(text.tokenizer, files.open_text("tokenizer.json"));
  BITCPM_ASSIGN(text.jinja, optional_text(files, "chat_template.jinja"));
  return text;
}

struct TextSide {
  Tokenizer tokenizer;
  ChatTemplate chat_template;
};

Result<ChatTemplate> load_template_file(const std::string& name,
                                        std::string_view tokenizer_config) {
  BITCPM_ASSIGN(const MmapFile file, MmapFile::open(name));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.empty() || bytes.size() > kMaxTemplateBytes) {
    return Error{Errc::kInvalid, name + ": a chat template has 1 byte to 1 MiB"};
  }
  return ChatTemplate::load(tokenizer_config,
                            {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Result<TextSide> load_text_side(const ModelFiles& files, const TextFiles& text,
                                const std::string& template_file) {
  auto tokenizer = Tokenizer::load(text.tokenizer, text.tokenizer_config);
  if (!tokenizer.ok()) {
    return naming_model(files,
                        Result<TextSide>(std::move(tokenizer).error().within("tokenizer.json")));
  }
  auto chat_template =
      template_file.empty()
          ? naming_model(files, ChatTemplate::load(text.tokenizer_config, text.jinja))
          : load_template_file(template_file, text.tokenizer_config);
  if (!chat_template.ok()) return std::move(chat_template).error();
  return TextSide{*std::move(tokenizer), *std::move(chat_template)};
}

}  // namespace

void add_model_argument(CLI::App& app, ModelOptions& options) {
  // An empty one is a shell variable that is not set, not the wish for the default.
  const auto check = [](const std::string& model) -> std::string {
    return model.empty() ? "is empty; leave it out for the built-in model" : "";
  };
  app.add_option("MODEL,--model", options.model,
                 "Directory of a Hugging Face checkpoint (default: the built-in bitcpm-tiny)")
      ->check(check)
      ->type_name("DIR");
}

void add_threads_option(CLI::App& app, ModelOptions& options) {
  add_count(app, "--threads", options.threads, 1, kMaxThreads,
            "CPU threads (default: all that this process may use)");
}

void add_numerics_option(CLI::App& app, ModelOptions& options) {
  const std::map<std::string, Numerics> names = {{"exact", Numerics::kExact},
                                                 {"fast", Numerics::kFast}};
  app.add_option("--numerics", options.numerics,
                 "Activations of 8 bits (fast) or 16 (exact); weights are lossless in both "
                 "(default: fast)")
      ->transform(CLI::CheckedTransformer(names).description(""))
      ->type_name("{fast,exact}");
}

void add_kv_cache_dtype_option(CLI::App& app, ModelOptions& options) {
  const auto target = std::make_shared<std::string>();
  constexpr std::string_view kUseInt8 = "the 8-bit type here is int8";
  CLI::Option* option =
      add_word(app, "--kv-cache-dtype", *target, {"auto", "bfloat16", "float32", "int8"},
               {{"float16", "the 16-bit type here is bfloat16"},
                {"fp8", kUseInt8},
                {"fp8_e4m3", kUseInt8},
                {"fp8_e5m2", kUseInt8},
                {"fp8_inc", kUseInt8}},
               "Element type of the KV cache (default: auto, which is float32 for "
               "--numerics exact and bfloat16 for fast)");
  option->each([target, &options](const std::string& word) {
    options.kv_cache_dtype = std::nullopt;
    for (const KvCacheDtype dtype :
         {KvCacheDtype::kFloat32, KvCacheDtype::kBfloat16, KvCacheDtype::kInt8}) {
      if (word == kv_cache_dtype_name(dtype)) options.kv_cache_dtype = dtype;
    }
  });
}

void add_running_options(CLI::App& app, ModelOptions& options) {
  add_model_argument(app, options);
  add_threads_option(app, options);
  add_numerics_option(app, options);
  add_kv_cache_dtype_option(app, options);
  add_count(app, "--max-model-len", options.max_model_len, 2, kMaxPositions,
            "Prompt and generated tokens of one request: 2048, 2k = 2000, 2K = 2048 (default: the "
            "model's max_position_embeddings, beyond which VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 in the "
            "environment lets it go)");
  add_speculative_config(app, "--speculative-config", options.speculation);
}

int thread_count(const ModelOptions& options) {
  return options.threads ? static_cast<int>(*options.threads) : usable_cpus();
}

std::string thread_warning(const ModelOptions& options, int cpus) {
  if (thread_count(options) <= cpus) return {};
  return fmt::format("--threads {} is more than the {} CPUs that this process may use",
                     thread_count(options), cpus);
}

void note_thread_warning(const ModelOptions& options) {
  const std::string warning = thread_warning(options, usable_cpus());
  if (!warning.empty()) print_note("warning: " + warning);
}

Result<ModelFiles> open_model_files(const ModelOptions& options) {
  if (options.model.empty()) return open_embedded_model();
  return ModelFiles::open_directory(options.model);
}

Result<std::unique_ptr<Backend>> make_backend(const ModelOptions& options) {
  CpuOptions cpu;
  cpu.threads = thread_count(options);
  cpu.numerics = options.numerics;
  if (options.isa.empty()) return make_cpu_backend(cpu);
  cpu.isa = options.isa;
  auto backend = make_cpu_backend(cpu);
  if (!backend.ok()) return std::move(backend).error().within("isa");
  return backend;
}

Result<Tokenizer> load_tokenizer(ModelFiles& files) {
  BITCPM_ASSIGN(const std::string_view tokenizer_config,
                optional_text(files, "tokenizer_config.json"));
  BITCPM_ASSIGN(const std::string_view tokenizer_json, files.open_text("tokenizer.json"));
  auto tokenizer = Tokenizer::load(tokenizer_json, tokenizer_config);
  if (!tokenizer.ok()) return std::move(tokenizer).error().within("tokenizer.json");
  return tokenizer;
}

Result<ModelSetup> load_model_setup(const ModelOptions& options) {
  BITCPM_ASSIGN(ModelFiles files, open_model_files(options));
  BITCPM_ASSIGN(ModelConfig config, naming_model(files, read_model_config(files)));
  BITCPM_ASSIGN(const std::int32_t max_model_len,
                choose_max_model_len(config, options.max_model_len, long_max_model_len_allowed()));
  BITCPM_ASSIGN(const TextFiles text, naming_model(files, open_text_files(files)));
  auto text_side = std::async(std::launch::async, [&files, &text, &options] {
    return load_text_side(files, text, options.chat_template_file);
  });
  // A packed model is there as fast as its tokenizer; any other takes longer, and a tokenizer that
  // does not load is known first.
  std::optional<Result<TextSide>> ready;
  if (!is_packed(files)) {
    ready = text_side.get();
    if (!ready->ok()) return std::move(*ready).error();
  }
  BITCPM_ASSIGN(std::unique_ptr<Backend> backend, make_backend(options));

  Progress progress("loading");
  const auto show = [&](std::size_t done, std::size_t total, std::string_view tensor) {
    progress.update(done, total, tensor);
  };
  BITCPM_ASSIGN(LoadedModel loaded, naming_model(files, load_model(files, config, *backend, show)));
  if (!ready) ready = text_side.get();
  BITCPM_ASSIGN(TextSide side, *std::move(ready));
  const KvCacheDtype kv_cache_dtype =
      options.kv_cache_dtype.value_or(backend->default_kv_cache_dtype());
  return ModelSetup{files.display_name(), std::move(config),         max_model_len,
                    kv_cache_dtype,       std::move(side.tokenizer), std::move(side.chat_template),
                    std::move(backend),   std::move(loaded.model),   std::move(loaded.report),
                    options.speculation};
}

Result<MemoryRequest> memory_request(const ModelSetup& setup, std::int32_t max_model_len,
                                     std::int32_t max_num_seqs,
                                     std::int32_t max_num_batched_tokens) {
  const Model& model = *setup.model;
  const std::size_t resident = resident_bytes();  // before the scratch that is made to be weighed
  MemoryRequest request;
  request.max_model_len = max_model_len;
  request.max_num_seqs = max_num_seqs;
  request.kv_block_tokens = setup.backend->kv_block_tokens();
  request.kv_shape = model.kv_shape(setup.kv_cache_dtype);
  BITCPM_ASSIGN(const Workspace workspace,
                model.make_workspace(max_num_batched_tokens, max_model_len));
  const auto threads = static_cast<std::size_t>(setup.backend->pool().threads());
  request.weights_bytes = model.weight_bytes();
  request.scratch_bytes =
      workspace.bytes() + threads * Sampler::scratch_bytes(setup.config.vocab_size);
  request.other_bytes = resident - std::min(resident, request.weights_bytes);
  request.usable_bytes = usable_memory_bytes();
  return request;
}

Result<std::unique_ptr<Engine>> start_single_engine(const ModelSetup& setup,
                                                    std::int64_t max_model_len) {
  EngineConfig config;
  if (max_model_len > setup.config.max_position_embeddings) {
    return Error{Errc::kInvalid,
                 fmt::format("{} tokens are more than the {} positions of the model", max_model_len,
                             setup.config.max_position_embeddings)};
  }
  config.max_model_len = static_cast<std::int32_t>(max_model_len);
  config.max_num_seqs = 1;
  config.max_waiting_requests = 1;
  config.kv_cache_dtype = setup.kv_cache_dtype;
  BITCPM_ASSIGN(const MemoryRequest request,
                memory_request(setup, config.max_model_len, 1, config.max_num_batched_tokens));
  BITCPM_ASSIGN(const MemoryPlan plan, plan_memory(request));
  config.kv_cache_bytes = plan.kv_cache_bytes;
  config.speculation = setup.speculation;
  return Engine::start(*setup.model, config);
}

}  // namespace bitcpm
