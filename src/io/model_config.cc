#include "io/model_config.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/json.h"
#include "base/quote.h"
#include "io/json_fields.h"
#include "io/rope_config.h"

namespace bitcpm {
namespace {

constexpr std::string_view kMiniCpm = "MiniCPMForCausalLM";
constexpr std::string_view kLlama = "LlamaForCausalLM";

constexpr JsonLimits kJsonLimits = {.max_bytes = std::size_t{4} << 20, .max_depth = 32};

// Far above every model we can run, and low enough that no product of two overflows an int32.
constexpr Range<std::int32_t> kHiddenRange = {1, 1 << 16};
constexpr Range<std::int32_t> kIntermediateRange = {1, 1 << 20};
constexpr Range<std::int32_t> kLayerRange = {1, 1 << 10};
constexpr Range<std::int32_t> kHeadRange = {1, 1 << 10};
constexpr Range<std::int32_t> kHeadDimRange = {2, 1 << 10};
constexpr Range<std::int32_t> kVocabRange = {1, 1 << 24};
constexpr std::int32_t kMaxQueryWidth = 1 << 17;  // num_attention_heads * head_dim
constexpr Range<float> kEpsRange = {1e-12f, 1.0f};
constexpr Range<float> kMupRange = {1e-4f, 1e5f};
constexpr std::size_t kMaxEosIds = 64;

Result<json::object> parse_object(std::string_view text, std::string_view file) {
  Result<json::value> parsed = parse_json(text, kJsonLimits);
  if (!parsed.ok()) {
    return Error{Errc::kCorrupt, std::string(file) + ": " + escaped(parsed.error().message, 200)};
  }
  json::object* object = parsed->if_object();
  if (object == nullptr) return Error{Errc::kCorrupt, std::string(file) + ": not a JSON object"};
  return std::move(*object);
}

Result<std::string> architecture(const JsonFields& config) {
  const json::value* list = config.find("architectures");
  if (list == nullptr) return config.corrupt("architectures", "missing");
  if (!list->is_array() || list->as_array().size() != 1 || !list->as_array()[0].is_string()) {
    return config.corrupt("architectures", "expected a list of one name");
  }
  const json::string& text = list->as_array()[0].as_string();
  const std::string name(text.data(), text.size());
  if (name == kMiniCpm || name == kLlama) return name;
  return config.unsupported("architectures", quote_name(name) + " is not supported; " +
                                                 std::string(kMiniCpm) + " and " +
                                                 std::string(kLlama) + " are");
}

// Weights that are packed into integers by another tool.
Status reject_quantized(const JsonFields& config) {
  const json::value* value = config.find("quantization_config");
  if (value == nullptr) return {};
  std::string method = "unnamed method";
  if (const json::object* object = value->if_object()) {
    const json::value* name = object->if_contains("quant_method");
    if (name != nullptr && name->is_string()) {
      method = quote_name({name->as_string().data(), name->as_string().size()});
    }
  }
  return config.unsupported("quantization_config",
                            "a checkpoint quantised by " + method + " is not supported");
}

// Switches of the two classes that change the forward pass, and that no BitCPM model turns on.
Status reject_unsupported(const JsonFields& config) {
  for (const std::string_view flag : {"attention_bias", "mlp_bias", "use_sliding_window"}) {
    BITCPM_ASSIGN(const bool set, config.bool_or(flag, false));
    if (set) return config.unsupported(flag, "true is not supported");
  }
  BITCPM_ASSIGN(const std::optional<std::string_view> act, config.find_text("hidden_act"));
  if (act && *act != "silu") {
    return config.unsupported("hidden_act", quote_name(*act) + " is not supported");
  }
  if (config.find("sparse_config") != nullptr) {
    return config.unsupported("sparse_config",
                              "sparse attention (InfLLM-v2) is asked for and not supported");
  }
  BITCPM_TRY(reject_quantized(config));
  BITCPM_ASSIGN(const std::optional<std::int32_t> pretraining_tp,
                config.find_int("pretraining_tp", {1, 1 << 10}));
  if (pretraining_tp.value_or(1) != 1) {
    return config.unsupported("pretraining_tp", "more than 1 is not supported");
  }
  for (const std::string_view field : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    BITCPM_ASSIGN(const std::optional<std::int32_t> experts, config.find_int(field, {0, 1 << 20}));
    if (experts.value_or(0) != 0) {
      return config.unsupported(field, "a mixture of experts is not supported");
    }
  }
  return {};
}

Status read_heads(const JsonFields& config, ModelConfig& model) {
  BITCPM_ASSIGN(model.num_attention_heads, config.need_int("num_attention_heads", kHeadRange));
  BITCPM_ASSIGN(const std::optional<std::int32_t> kv_heads,
                config.find_int("num_key_value_heads", kHeadRange));
  model.num_key_value_heads = kv_heads.value_or(model.num_attention_heads);
  if (model.num_attention_heads % model.num_key_value_heads != 0) {
    return config.corrupt("num_key_value_heads", "does not divide num_attention_heads");
  }
  BITCPM_ASSIGN(const std::optional<std::int32_t> head_dim,
                config.find_int("head_dim", kHeadDimRange));
  if (!head_dim && model.hidden_size % model.num_attention_heads != 0) {
    return config.corrupt("num_attention_heads", "does not divide hidden_size, and no head_dim");
  }
  model.head_dim = head_dim.value_or(model.hidden_size / model.num_attention_heads);
  if (model.head_dim < kHeadDimRange.least || model.head_dim > kHeadDimRange.most ||
      model.head_dim % 2 != 0) {
    return config.corrupt("head_dim", std::to_string(model.head_dim) +
                                          " is not an even number from 2 to " +
                                          std::to_string(kHeadDimRange.most));
  }
  if (model.num_attention_heads * model.head_dim > kMaxQueryWidth) {
    return config.corrupt("head_dim",
                          "times num_attention_heads exceeds " + std::to_string(kMaxQueryWidth));
  }
  return {};
}

Status read_shape(const JsonFields& config, ModelConfig& model) {
  BITCPM_ASSIGN(model.hidden_size, config.need_int("hidden_size", kHiddenRange));
  BITCPM_ASSIGN(model.intermediate_size, config.need_int("intermediate_size", kIntermediateRange));
  BITCPM_ASSIGN(model.num_hidden_layers, config.need_int("num_hidden_layers", kLayerRange));
  BITCPM_TRY(read_heads(config, model));
  BITCPM_ASSIGN(model.vocab_size, config.need_int("vocab_size", kVocabRange));
  BITCPM_ASSIGN(model.max_position_embeddings,
                config.need_int("max_position_embeddings", kPositionRange));
  BITCPM_ASSIGN(model.rms_norm_eps, config.float_or("rms_norm_eps", 1e-6f, kEpsRange));
  BITCPM_ASSIGN(model.tie_word_embeddings,
                config.bool_or("tie_word_embeddings", model.architecture == kMiniCpm));
  return {};
}

// transformers 5 renamed torch_dtype to dtype.
Status read_dtype(const JsonFields& config, ModelConfig& model) {
  for (const std::string_view field : {"torch_dtype", "dtype"}) {
    BITCPM_ASSIGN(const std::optional<std::string_view> dtype, config.find_text(field));
    if (dtype) model.torch_dtype = escaped(*dtype, 32);
    if (dtype) return {};
  }
  return {};
}

Status read_mup(const JsonFields& config, ModelConfig& model) {
  if (model.architecture != kMiniCpm) return {};
  BITCPM_ASSIGN(model.embedding_scale, config.float_or("scale_emb", 1.0f, kMupRange));
  // In f64 until the last step, as Python computes them.
  BITCPM_ASSIGN(const double depth, config.number_or("scale_depth", 1.0, kMupRange));
  model.residual_scale = static_cast<float>(depth / std::sqrt(model.num_hidden_layers));
  BITCPM_ASSIGN(const double base, config.number_or("dim_model_base", 1.0, kMupRange));
  model.logit_divisor = static_cast<float>(model.hidden_size / base);
  return {};
}

// Adds the ids of eos_token_id, an integer or a list, that are not there yet.
Status add_eos_ids(const JsonFields& fields, ModelConfig& model) {
  const json::value* value = fields.find("eos_token_id");
  if (value == nullptr) return {};
  const json::array one = {*value};
  const json::array& ids = value->is_array() ? value->as_array() : one;
  if (ids.size() > kMaxEosIds) return fields.corrupt("eos_token_id", "lists more than 64 ids");
  for (const json::value& item : ids) {
    const std::optional<TokenId> id = int_in(item, {0, model.vocab_size - 1});
    if (!id) {
      return fields.corrupt("eos_token_id", "expected token ids below vocab_size, " +
                                                std::to_string(model.vocab_size));
    }
    if (std::ranges::find(model.eos_token_ids, *id) == model.eos_token_ids.end()) {
      model.eos_token_ids.push_back(*id);
    }
  }
  return {};
}

Status read_generation(const JsonFields& fields, GenerationDefaults& defaults) {
  BITCPM_ASSIGN(const bool do_sample, fields.bool_or("do_sample", true));
  BITCPM_ASSIGN(defaults.temperature, fields.find_float("temperature", {0.0f, 100.0f}));
  if (!do_sample) defaults.temperature.reset();
  BITCPM_ASSIGN(defaults.top_p, fields.find_float("top_p", {1e-6f, 1.0f}));
  BITCPM_ASSIGN(defaults.top_k, fields.find_int("top_k", {-1, kVocabRange.most}));
  BITCPM_ASSIGN(defaults.min_p, fields.find_float("min_p", {0.0f, 1.0f}));
  BITCPM_ASSIGN(defaults.repetition_penalty,
                fields.find_float("repetition_penalty", {1e-2f, 100.0f}));
  return {};
}

Status read_bos(const JsonFields& fields, ModelConfig& model) {
  if (model.bos_token_id) return {};
  BITCPM_ASSIGN(model.bos_token_id, fields.find_int("bos_token_id", {0, model.vocab_size - 1}));
  return {};
}

Status read_generation_file(std::string_view text, ModelConfig& model) {
  if (text.empty()) return {};
  BITCPM_ASSIGN(const json::object object, parse_object(text, "generation_config.json"));
  const JsonFields fields(object, "generation_config.json");
  BITCPM_TRY(add_eos_ids(fields, model));
  BITCPM_TRY(read_bos(fields, model));
  return read_generation(fields, model.generation);
}

}  // namespace

Result<ModelConfig> parse_model_config(std::string_view config_json,
                                       std::string_view generation_config_json) {
  BITCPM_ASSIGN(const json::object object, parse_object(config_json, "config.json"));
  const JsonFields config(object, "config.json");
  ModelConfig model;
  BITCPM_ASSIGN(model.architecture, architecture(config));
  BITCPM_TRY(reject_unsupported(config));
  BITCPM_TRY(read_dtype(config, model));
  BITCPM_TRY(read_shape(config, model));
  BITCPM_ASSIGN(model.rope,
                parse_rope_config(config, model.head_dim, model.max_position_embeddings));
  BITCPM_TRY(read_mup(config, model));
  BITCPM_TRY(read_bos(config, model));
  BITCPM_TRY(read_generation_file(generation_config_json, model));
  BITCPM_TRY(add_eos_ids(config, model));
  return model;
}

}  // namespace bitcpm
