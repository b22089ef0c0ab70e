#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/thread_pool.h"
#include "commands.h"
#include "console.h"
#include "model_setup.h"
#include "progress.h"

namespace bitcpm {
namespace {

struct InspectOptions {
  ModelOptions model;
  bool json = false;
};

json::object config_json(const ModelConfig& config) {
  json::object root{{"architecture", config.architecture},
                    {"torch_dtype", config.torch_dtype},
                    {"hidden_size", config.hidden_size},
                    {"intermediate_size", config.intermediate_size},
                    {"num_hidden_layers", config.num_hidden_layers},
                    {"num_attention_heads", config.num_attention_heads},
                    {"num_key_value_heads", config.num_key_value_heads},
                    {"head_dim", config.head_dim},
                    {"vocab_size", config.vocab_size},
                    {"max_position_embeddings", config.max_position_embeddings},
                    {"rms_norm_eps", config.rms_norm_eps},
                    {"rope_theta", config.rope.theta},
                    {"rope_attention_factor", config.rope.attention_factor},
                    {"embedding_scale", config.embedding_scale},
                    {"residual_scale", config.residual_scale},
                    {"logit_divisor", config.logit_divisor}};
  root["bos_token_id"] = config.bos_token_id ? json::value(*config.bos_token_id) : json::value();
  root["eos_token_ids"] = json::array(config.eos_token_ids.begin(), config.eos_token_ids.end());
  return root;
}

json::object tensor_json(const TensorReport& tensor) {
  json::object root{{"name", tensor.name},
                    {"stored_dtype", tensor.stored_dtype},
                    {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                    {"form", weight_form_name(tensor.form)}};
  if (tensor.form == WeightForm::kTernary) root["group_size"] = tensor.group;
  root["stored_bytes"] = tensor.stored_bytes;
  root["resident_bytes"] = tensor.resident_bytes;
  if (!tensor.note.empty()) root["note"] = tensor.note;
  return root;
}

double ternary_share(const ModelReport& report) {
  if (report.parameters == 0) return 0;
  return static_cast<double>(report.ternary_parameters) / static_cast<double>(report.parameters);
}

std::size_t kv_bytes(const ModelConfig& config, KvCacheDtype dtype) {
  return kv_bytes_per_token(
      {config.num_hidden_layers, config.num_key_value_heads, config.head_dim, dtype});
}

json::object kv_json(const ModelConfig& config) {
  json::object bytes;
  for (const KvCacheDtype dtype :
       {KvCacheDtype::kFloat32, KvCacheDtype::kBfloat16, KvCacheDtype::kInt8}) {
    bytes[kv_cache_dtype_name(dtype)] = kv_bytes(config, dtype);
  }
  return bytes;
}

std::string report_json(const std::string& name, const ModelConfig& config,
                        const ModelReport& report) {
  json::array tensors;
  for (const TensorReport& tensor : report.tensors) tensors.push_back(tensor_json(tensor));
  json::object root{{"model", name},
                    {"config", config_json(config)},
                    {"tensors", std::move(tensors)},
                    {"totals",
                     {{"parameters", report.parameters},
                      {"ternary_parameters", report.ternary_parameters},
                      {"ternary_share", ternary_share(report)},
                      {"stored_bytes", report.stored_bytes},
                      {"resident_bytes", report.resident_bytes},
                      {"kv_bytes_per_token", kv_json(config)}}},
                    {"head_tied", report.head_tied},
                    {"warnings", json::array(report.warnings.begin(), report.warnings.end())}};
  if (report.packed) {
    root["packed"] = json::object{{"format_version", report.packed->version},
                                  {"written_by", report.packed->written_by},
                                  {"model", report.packed->model},
                                  {"bytes", report.packed->bytes}};
  }
  return pretty_json(root) + "\n";
}

std::string config_text(const std::string& name, const ModelConfig& config) {
  std::string text = fmt::format(
      "{}: {}\n"
      "  layers {}, hidden {}, feed-forward {}, heads {}/{} of {}, vocabulary {}\n"
      "  positions {}, rope theta {}, rms eps {:g}, attention factor {}\n"
      "  embedding scale {}, residual scale {:.6f}, logit divisor {}; bos {}, eos {}\n",
      visible(name), config.architecture, config.num_hidden_layers, config.hidden_size,
      config.intermediate_size, config.num_attention_heads, config.num_key_value_heads,
      config.head_dim, config.vocab_size, config.max_position_embeddings, config.rope.theta,
      config.rms_norm_eps, config.rope.attention_factor, config.embedding_scale,
      config.residual_scale, config.logit_divisor, config.bos_token_id.value_or(-1),
      fmt::join(config.eos_token_ids, " "));
  const auto [least, most] =
      std::minmax_element(config.rope.short_factor.begin(), config.rope.short_factor.end());
  if (least != config.rope.short_factor.end() && *most != 1.0f) {
    text += fmt::format("  rope factors {:.4f} to {:.4f}, original positions {}\n", *least, *most,
                        config.rope.original_max_position);
  }
  return text;
}

std::string tensor_form(const TensorReport& tensor) {
  if (tensor.form != WeightForm::kTernary) return std::string(weight_form_name(tensor.form));
  const bool per_row = !tensor.shape.empty() && tensor.group == tensor.shape.back();
  return per_row ? "ternary/row" : fmt::format("ternary/{}", tensor.group);
}

std::string tensor_table(const ModelReport& report) {
  std::size_t name_width = 6;
  for (const TensorReport& tensor : report.tensors) {
    name_width = std::max(name_width, visible(tensor.name).size());
  }
  std::string text =
      fmt::format("\n{:<{}}  {:<14} {:<7} {:<12} {:>13} {:>13}\n", "tensor", name_width, "shape",
                  "stored", "form", "stored bytes", "in memory");
  for (const TensorReport& tensor : report.tensors) {
    text += fmt::format("{:<{}}  {:<14} {:<7} {:<12} {:>13} {:>13}{}{}\n", visible(tensor.name),
                        name_width, fmt::format("{}", fmt::join(tensor.shape, "x")),
                        visible(tensor.stored_dtype), tensor_form(tensor),
                        with_commas(static_cast<std::int64_t>(tensor.stored_bytes)),
                        with_commas(static_cast<std::int64_t>(tensor.resident_bytes)),
                        tensor.note.empty() ? "" : "  ", visible(tensor.note));
  }
  return text;
}

std::string totals_text(const ModelConfig& config, const ModelReport& report) {
  std::string text = fmt::format(
      "\n{} tensors, {} parameters, {} of them ternary ({:.1f} %); head {}\n"
      "{} stored, {} in memory; KV cache {} per token in float32, {} in bfloat16, {} in int8\n",
      report.tensors.size(), with_commas(report.parameters), with_commas(report.ternary_parameters),
      100 * ternary_share(report), report.head_tied ? "tied to the embedding" : "of its own",
      human_bytes(report.stored_bytes), human_bytes(report.resident_bytes),
      human_bytes(kv_bytes(config, KvCacheDtype::kFloat32)),
      human_bytes(kv_bytes(config, KvCacheDtype::kBfloat16)),
      human_bytes(kv_bytes(config, KvCacheDtype::kInt8)));
  if (const auto& packed = report.packed) {
    text += fmt::format("packed from {} by {}, format {}: {}, all checksums right\n",
                        visible(packed->model), visible(packed->written_by), packed->version,
                        human_bytes(packed->bytes));
  }
  for (const std::string& warning : report.warnings) text += "warning: " + visible(warning) + "\n";
  return text;
}

Result<ExitCode> run_inspect(const InspectOptions& options) {
  BITCPM_ASSIGN(ModelFiles files, open_model_files(options.model));
  BITCPM_ASSIGN(const ModelConfig config, naming_model(files, read_model_config(files)));
  note_thread_warning(options.model);
  ThreadPool pool(thread_count(options.model));
  ModelReport report;
  {
    Progress progress("reading");  // wiped before anything is printed
    const auto show = [&](std::size_t done, std::size_t total, std::string_view tensor) {
      progress.update(done, total, tensor);
    };
    BITCPM_ASSIGN(report, naming_model(files, inspect_weights(files, config, pool, show)));
  }
  const std::string& name = files.display_name();
  const bool printed = print(options.json ? report_json(name, config, report)
                                          : config_text(name, config) + tensor_table(report) +
                                                totals_text(config, report));
  if (!printed) return Error{Errc::kIo, "standard output cannot be written"};
  return ExitCode::kSuccess;
}

}  // namespace

Command make_inspect_command(CLI::App& root) {
  auto options = std::make_shared<InspectOptions>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("inspect", "Show what a checkpoint holds, tensor by tensor");
  app->footer("Example:\n  bitcpm inspect path/to/BitCPM4-0.5B --json");
  add_model_argument(*app, options->model);
  add_threads_option(*app, options->model);
  app->add_flag("--json", options->json, "One JSON object instead of the table");
  return {app, [options] { return run_inspect(*options); }};
}

}  // namespace bitcpm
