#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "base/checksum.h"
#include "base/cpu_budget.h"
#include "base/log.h"
#include "commands.h"
#include "console.h"
#include "embedded_model.h"
#include "model_setup.h"
#include "serve_flags.h"
#include "serve_plan.h"
#include "server/http_server.h"

namespace bitcpm {
namespace {

// What the reference documentation calls the model; answered by the built-in one, so that its curl
// lines work as they stand.
constexpr const char* kDocumentationName = "/path/to/model/";
constexpr std::size_t kMaxWarnings = 4;

GenerationDefaults generation_defaults(const ServeOptions& options, const ModelSetup& setup) {
  return options.generation_config == "auto" ? setup.config.generation : GenerationDefaults{};
}

// What decides a seeded answer besides the request: program, numerics, and the model as far as its
// numbers tell models apart.
std::string fingerprint(const ServeOptions& options, const ModelSetup& setup,
                        std::string_view numerics) {
  if (options.fingerprint_mode == "none") return {};
  if (options.fingerprint_mode == "custom") return options.fingerprint_value;
  const ModelConfig& c = setup.config;
  const std::string numbers = fmt::format(
      "{} {} {} {} {} {} {}", c.architecture, c.num_hidden_layers, c.hidden_size, c.vocab_size,
      c.max_position_embeddings, setup.report.parameters, setup.report.resident_bytes);
  return fmt::format("bitcpm-{}-{}-{:08x}", BITCPM_VERSION, numerics,
                     checksum(std::as_bytes(std::span(numbers))) & 0xFFFFFFFFu);
}

ServedModel served_model(const ServeOptions& options, const ModelSetup& setup) {
  ServedModel model;
  model.numerics = std::string(numerics_name(options.model.numerics));
  model.names = options.served_model_names;
  if (model.names.empty()) {
    model.names = {setup.name};
    if (options.model.model.empty()) model.names.emplace_back(kDocumentationName);
  }
  model.generation = generation_defaults(options, setup);
  model.fingerprint = fingerprint(options, setup, model.numerics);
  model.defaults = options.defaults;
  return model;
}

std::string describe_generation(const GenerationDefaults& defaults) {
  std::string text;
  const auto add = [&](std::string_view name, const auto& value) {
    if (value) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, *value);
  };
  add("temperature", defaults.temperature);
  add("top_p", defaults.top_p);
  add("top_k", defaults.top_k);
  add("min_p", defaults.min_p);
  add("repetition_penalty", defaults.repetition_penalty);
  return text.empty() ? "none of its own" : text;
}

// " in groups of 128, whole rows", or nothing.
std::string describe_groups(const ModelReport& report) {
  std::set<std::string> groups;
  for (const TensorReport& tensor : report.tensors) {
    if (tensor.form != WeightForm::kTernary) continue;
    const bool per_row = !tensor.shape.empty() && tensor.group == tensor.shape.back();
    groups.insert(per_row ? "whole rows" : std::to_string(tensor.group));
  }
  return groups.empty() ? "" : fmt::format(" in groups of {}", fmt::join(groups, ", "));
}

void log_model(const ModelSetup& setup) {
  const ModelConfig& config = setup.config;
  const ModelReport& report = setup.report;
  log_info("bitcpm " BITCPM_VERSION);
  log_info(fmt::format("model {}: {}, {} layers, hidden {}, vocabulary {}, {} positions",
                       setup.name, config.architecture, config.num_hidden_layers,
                       config.hidden_size, config.vocab_size, config.max_position_embeddings));
  log_info(fmt::format("size: {} parameters, {:.1f} % of them ternary{}; {} stored, {} in memory",
                       with_commas(report.parameters),
                       100.0 * static_cast<double>(report.ternary_parameters) /
                           static_cast<double>(std::max<std::int64_t>(report.parameters, 1)),
                       describe_groups(report), human_bytes(report.stored_bytes),
                       human_bytes(setup.model->weight_bytes())));
  for (std::size_t i = 0; i < std::min(report.warnings.size(), kMaxWarnings); ++i) {
    log_warning(visible(report.warnings[i]));
  }
  if (report.warnings.size() > kMaxWarnings) {
    log_warning(
        fmt::format("… and {} more: see bitcpm inspect", report.warnings.size() - kMaxWarnings));
  }
}

void log_memory(const EngineConfig& config, const MemoryPlan& plan) {
  log_info(fmt::format(
      "memory plan: weights {}, KV cache {} (taken as it fills), scratch {}, program and the rest "
      "{}: {} in all of {} that this process may use",
      human_bytes(plan.weights_bytes), human_bytes(plan.kv_cache_bytes),
      human_bytes(plan.scratch_bytes), human_bytes(plan.other_bytes),
      human_bytes(plan.total_bytes()), human_bytes(plan.allowed_bytes)));
  log_info(fmt::format("KV cache: {}; {} run at once, {} tokens per step", describe_kv(plan),
                       config.max_num_seqs, config.max_num_batched_tokens));
}

// The text in single quotes for a shell.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

void print_address(const ServerConfig& config, const ServedModel& model, std::uint16_t port) {
  std::string host = config.host;
  if (host == "0.0.0.0") host = "127.0.0.1";  // what a client on this machine connects to
  if (host == "::") host = "::1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  const bool is_tls = !config.tls.certfile.empty();
  const std::string address = fmt::format("{}://{}:{}", is_tls ? "https" : "http", host, port);
  const json::object body{{"model", model.names.front()},
                          {"prompt", "What is quantum computing?"},
                          {"max_tokens", 64},
                          {"temperature", 0}};
  log_info(visible(fmt::format("serving {} at {}", fmt::join(model.names, ", "), address)));
  // Without the log's prefix, to be pasted as it stands.
  const char* key = config.api_keys.empty() ? "" : " -H \"Authorization: Bearer $BITCPM_API_KEY\"";
  print(fmt::format("curl -s {}/v1/completions -H 'Content-Type: application/json'{} -d {}\n",
                    address, key, shell_quoted(json::serialize(body))));
}

// What runs, in a dozen lines: nothing is logged that may still fail to run.
void log_start(const CLI::App& app, const ServeOptions& options, const ServePlan& plan) {
  const ModelSetup& setup = plan.setup;
  log_model(setup);
  log_info(fmt::format("numerics {}; {} KV cache; {}", describe_numerics(options.model.numerics),
                       kv_cache_dtype_name(setup.kv_cache_dtype), setup.backend->description()));
  if (const std::string warning = thread_warning(options.model, usable_cpus()); !warning.empty()) {
    log_warning(warning);
  }
  log_memory(plan.config, plan.memory);
  const GenerationDefaults defaults = generation_defaults(options, setup);
  log_info("sampling defaults: " + describe_generation(defaults) +
           (setup.chat_template.is_built_in() ? "; chat template: built-in ChatML" : ""));
  if (const auto ignored = ignored_flags(app); !ignored.empty()) {
    log_info(fmt::format("accepted without effect: {}", fmt::join(ignored, " ")));
  }
}

// Every connection takes one, and many systems allow a process 1024 unless it asks for more.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  constexpr rlim_t kWanted = 65'536;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kWanted));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Listens first: a mistaken address is told before a model is loaded, and a balancer's probes get a
// 503 meanwhile.
Result<ExitCode> run_serve(const CLI::App& app, const ServeOptions& options) {
  raise_descriptor_limit();
  if (options.edge.log_format == "json") set_log_format(LogFormat::kJson);
  const ServerConfig server = edge_config(options.edge);
  BITCPM_ASSIGN(std::unique_ptr<HttpServer> listening, HttpServer::listen(server));
  BITCPM_ASSIGN(const ServePlan plan, plan_serving(options));
  const ModelSetup& setup = plan.setup;
  const ServedModel model = served_model(options, setup);
  BITCPM_ASSIGN(const std::unique_ptr<Engine> engine, Engine::start(*setup.model, plan.config));
  log_start(app, options, plan);
  const std::unique_ptr<HttpServer> http = std::move(listening);  // goes before what it refers to
  http->heed_signals();
  http->serve(model, *engine, setup.tokenizer, setup.chat_template);
  print_address(server, model, http->port());
  http->wait();
  log_info("stopped");
  return ExitCode::kSuccess;
}

std::string serve_usage_error(const ServeOptions& options) {
  if (std::string wrong = step_size_error(options); !wrong.empty()) return wrong;
  if (std::string wrong = edge_usage_error(options.edge); !wrong.empty()) return wrong;
  if (options.defaults.parse_tool_calls == options.tool_call_parser.empty()) {
    return "--enable-auto-tool-choice and --tool-call-parser need each other";
  }
  if (options.tokenizer.empty()) return {};
  std::error_code ignored;
  if (!options.model.model.empty() &&
      std::filesystem::equivalent(options.tokenizer, options.model.model, ignored)) {
    return {};
  }
  return "--tokenizer: only the checkpoint's own tokenizer is supported, so it must name the same "
         "directory as MODEL";
}

}  // namespace

Command make_serve_command(CLI::App& root) {
  auto options = std::make_shared<ServeOptions>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("serve", "Serve the OpenAI API over HTTP");
  add_serve_options(*app, *options);
  return {app, [app, options] { return run_serve(*app, *options); },
          [options] { return serve_usage_error(*options); }};
}

}  // namespace bitcpm
