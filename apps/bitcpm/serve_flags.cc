#include "serve_flags.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace bitcpm {
namespace {

struct IgnoredFlag {
  const char* name;
  bool takes_value;
};

// vLLM's flags about GPUs, processes, logs and compilation, which have no counterpart here and
// whose absence changes no answer. Anything that would change one must not be in this list.
constexpr IgnoredFlag kIgnoredFlags[] = {
    {"--trust-remote-code", false},
    {"--enforce-eager", false},
    {"--swap-space", true},
    {"--block-size", true},
    {"--cpu-offload-gb", true},
    {"--disable-log-requests", false},
    {"--no-enable-log-requests", false},
    {"--disable-log-stats", false},
    {"--enable-request-id-headers", false},
    {"--enable-server-load-tracking", false},
    {"--enable-prompt-tokens-details", false},
    {"--max-log-len", true},
    {"--disable-frontend-multiprocessing", false},
    {"--disable-custom-all-reduce", false},
    {"--distributed-executor-backend", true},
    {"--max-parallel-loading-workers", true},
    {"--max-seq-len-to-capture", true},
    {"--compilation-config", true},
    {"--enable-chunked-prefill", false},
    {"--no-enable-chunked-prefill", false},
    {"--async-scheduling", false},
    {"--download-dir", true},
};

struct FixedFlag {
  const char* name;
  std::vector<std::string_view> allowed;
  const char* help;
};

// Flags of vLLM that exist here in one setting only.
const FixedFlag kFixedFlags[] = {
    {"--tensor-parallel-size", {"1"}, "One process holds the whole model (-tp)"},
    {"--pipeline-parallel-size", {"1"}, "One process holds the whole model (-pp)"},
    {"--data-parallel-size", {"1"}, "One engine (-dp)"},
    {"--quantization", {"none"}, "Ternary weights are found in the checkpoint, not asked for"},
    {"--device", {"auto", "cpu"}, "What it runs on"},
    {"--load-format", {"auto", "hf", "safetensors", "pt"}, "Found by looking at the files"},
    {"--tokenizer-mode", {"auto", "hf"}, "The checkpoint's tokenizer.json"},
    {"--config-format", {"auto", "hf"}, "The checkpoint's config.json"},
    {"--chat-template-content-format",
     {"auto", "string"},
     "Templates get each content as a string"},
    {"--response-role", {"assistant"}, "The role of answers"},
};

constexpr std::int64_t kMaxSeqs = 4096;
constexpr std::int64_t kMaxBatchedTokens = std::int64_t{1} << 16;
constexpr std::int64_t kMaxQueuedRequests = 1'000'000;
constexpr std::int64_t kMaxLogprobs = std::int64_t{1} << 20;  // beyond any vocabulary

void add_name_options(CLI::App& app, ServeOptions& options) {
  app.add_option("--served-model-name", options.served_model_names,
                 "Names that requests may use, the first one in answers (default: MODEL as given)")
      ->type_name("NAME");
}

std::string check_object(const std::string& text) {
  const Result<json::value> parsed = parse_json(text);
  return parsed.ok() && parsed->is_object() ? "" : "must be a JSON object";
}

void add_request_options(CLI::App& app, ServeOptions& options) {
  RequestDefaults& defaults = options.defaults;
  app.add_option("--default-chat-template-kwargs", defaults.chat_template_kwargs,
                 R"(Variables for the chat template: '{"enable_thinking": false}')")
      ->type_name("JSON")
      ->check(check_object);
  app.add_flag("--exclude-tools-when-tool-choice-none",
               defaults.exclude_tools_when_tool_choice_none,
               "Do not show the model tools that it may not call");
  app.add_flag("--enable-auto-tool-choice", defaults.parse_tool_calls,
               "Take calls of tools out of answers' texts; needs --tool-call-parser");
  add_word(
      app, "--tool-call-parser", options.tool_call_parser, {"hermes"}, {},
      "The form of calls: hermes, <tool_call>{\"name\": ..., \"arguments\": {...}}</tool_call>");
  app.add_flag("--enable-force-include-usage", defaults.force_include_usage,
               "Usage in every stream");
  app.add_flag("--return-tokens-as-token-ids", defaults.return_tokens_as_token_ids,
               "Spell tokens in log-probabilities as token_id:N");
  add_word(app, "--fingerprint-mode", options.fingerprint_mode, {"full", "hash", "custom", "none"},
           {}, "system_fingerprint: full and hash, of program, numerics and model (default: full)");
  app.add_option("--fingerprint-value", options.fingerprint_value, "For --fingerprint-mode custom")
      ->type_name("TEXT");
}

// Adds options under a heading of --help.
template <class Add>
void in_group(CLI::App& app, const char* heading, Add&& add) {
  const std::vector<const CLI::Option*> before = std::as_const(app).get_options();
  add();
  for (CLI::Option* option : app.get_options()) {
    const bool is_new = std::find(before.begin(), before.end(), option) == before.end();
    if (is_new && !option->get_group().empty()) option->group(heading);
  }
}

void add_limit_options(CLI::App& app, ServeOptions& options) {
  add_count(app, "--max-num-seqs", options.max_num_seqs, 1, kMaxSeqs,
            "Requests running at once (default: 64)");
  add_count(app, "--max-num-batched-tokens", options.max_num_batched_tokens, 1, kMaxBatchedTokens,
            "Tokens per forward pass (default: 512)");
  app.add_flag("--enable-prefix-caching,!--no-enable-prefix-caching", options.prefix_caching,
               "Find the beginnings of prompts that were computed before (default: on)");
  add_count(app, "--max-num-queued-reqs", options.max_num_queued_reqs, 1, kMaxQueuedRequests,
            "Requests running and waiting together, beyond which the answer is 503 (default: "
            "--max-num-seqs and 1024)");
  add_count(app, "--max-logprobs", options.max_logprobs, -1, kMaxLogprobs,
            "Most likely tokens a request may ask for; -1: all of the vocabulary (default: 20)");
  add_word(app, "--logprobs-mode", options.logprobs_mode,
           {"raw_logprobs", "processed_logprobs", "raw_logits", "processed_logits"}, {},
           "What is reported: of the model's logits (raw) or after penalties, temperature and "
           "filters (processed) (default: raw_logprobs)");
  add_count(app, "--kv-cache-memory-bytes,--kv-cache-memory", options.kv_cache_bytes, 1,
            std::numeric_limits<std::int64_t>::max(),
            "Size of the KV cache: 2G = 2^31 (default: a quarter of the usable memory, at most "
            "4 GiB and what --max-num-seqs can use)");
  add_real(app, "--gpu-memory-utilization", options.gpu_memory_utilization, 0.001f, 1,
           "Instead: the share of the memory that this process may use (as its cgroup and "
           "MemAvailable have it) for weights, KV cache and all");
  app.add_flag(
      "--kv-cache-metrics", options.kv_cache_metrics,
      "Histograms of how long KV blocks live, lie idle and are used again (vllm:kv_block_*)");
  add_real(app, "--kv-cache-metrics-sample", options.kv_cache_metrics_sample, 1e-6f, 1,
           "The share of the blocks that they follow (default: 0.01)");
}

void add_model_format_options(CLI::App& app, ServeOptions& options) {
  constexpr std::string_view kWouldRound =
      "weights are kept as stored and computed with in f32; float16 would round them";
  add_word(app, "--dtype", options.dtype, {"auto", "bfloat16", "float32", "float"},
           {{"float16", kWouldRound}, {"half", kWouldRound}},
           "Accepted for compatibility: weights are kept losslessly whatever it says");
  add_word(app, "--generation-config", options.generation_config, {"auto", "vllm"}, {},
           "Sampling defaults: auto, the checkpoint's generation_config.json; vllm, none");
  app.add_option("--chat-template", options.model.chat_template_file,
                 "Jinja file instead of the checkpoint's own template")
      ->type_name("FILE");
  app.add_option("--tokenizer", options.tokenizer, "Must name the same directory as MODEL")
      ->type_name("DIR");
}

void add_vllm_only_options(CLI::App& app, ServeOptions& options) {
  for (const FixedFlag& flag : kFixedFlags) {
    add_word(app, flag.name, options.fixed, flag.allowed, {}, flag.help);
  }
  for (const IgnoredFlag& flag : kIgnoredFlags) {
    CLI::Option* option =
        flag.takes_value ? app.add_option(flag.name, [](const CLI::results_t&) { return true; })
                         : app.add_flag(flag.name);
    option->group("");  // named in the footer instead
  }
}

// The names, in lines of terminal width.
std::string list_ignored_flags() {
  constexpr std::size_t kColumns = 78;
  std::string text;
  std::size_t column = kColumns;
  for (const IgnoredFlag& flag : kIgnoredFlags) {
    const std::string name = std::string(" ") + flag.name;
    if (column + name.size() > kColumns) {
      text += "\n ";
      column = 1;
    }
    text += name;
    column += name.size();
  }
  return text;
}

}  // namespace

void add_serve_options(CLI::App& app, ServeOptions& options) {
  in_group(app, "Model", [&] {
    add_running_options(app, options.model);
    add_model_format_options(app, options);
    add_name_options(app, options);
  });
  in_group(app, "Answers", [&] { add_request_options(app, options); });
  in_group(app, "Limits", [&] { add_limit_options(app, options); });
  in_group(app, "Connections, access and logs", [&] { add_edge_options(app, options.edge); });
  in_group(app, "Flags of vLLM with one setting here",
           [&] { add_vllm_only_options(app, options); });
  app.footer("Accepted without effect:" + list_ignored_flags() +
             "\nExample:\n  bitcpm serve --host 0.0.0.0 --port 8000 --max-model-len 2048");
}

std::vector<std::string> ignored_flags(const CLI::App& app) {
  std::vector<std::string> given;
  for (const IgnoredFlag& flag : kIgnoredFlags) {
    if (app.count(flag.name) > 0) given.emplace_back(flag.name);
  }
  return given;
}

void normalise_arguments(std::vector<std::string>& arguments) {
  if (arguments.empty() || (arguments.front() != "serve" && arguments.front() != "plan")) return;
  constexpr std::pair<std::string_view, std::string_view> kShort[] = {
      {"-tp", "--tensor-parallel-size"},
      {"-pp", "--pipeline-parallel-size"},
      {"-dp", "--data-parallel-size"}};
  for (std::string& argument : arguments) {
    const std::size_t name_end = std::min(argument.find('='), argument.size());
    for (const auto& [brief, full] : kShort) {
      if (argument.compare(0, name_end, brief) == 0) {
        argument.replace(0, name_end, full);
        break;
      }
    }
    if (argument.starts_with("--")) {
      std::replace(argument.begin(),
                   argument.begin() + std::min(argument.find('='), argument.size()), '_', '-');
    }
  }
}

}  // namespace bitcpm
