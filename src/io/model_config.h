#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace bitcpm {

// Rotary position embedding (RoFormer, arXiv:2104.09864; LongRoPE factors, arXiv:2402.13753).
// Angle of pair i at position p: p / (factor_i * theta^(2i / head_dim)).
struct RopeConfig {
  float theta = 10000.0f;
  std::vector<float> short_factor;  // [head_dim / 2], all 1 if the checkpoint has none
  std::vector<float> long_factor;   // [head_dim / 2]; used once max_model_len > original_max
  std::int32_t original_max_position = 0;
  // Multiplies cos and sin: sqrt(1 + ln(s) / ln(original_max)) with s = max_position /
  // original_max clamped to >= 1; so exactly 1 for every published checkpoint.
  float attention_factor = 1.0f;
  bool factor_follows_length = false;  // longrope without an attention_factor of its own
};

// What generation_config.json suggests for sampling; absent fields stay unset.
struct GenerationDefaults {
  std::optional<float> temperature;  // absent too when do_sample is false: greedy is 0
  std::optional<float> top_p;
  std::optional<std::int32_t> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
};

// Shape and constants of one decoder, validated: every field is in a range that later code may rely
// on. Names are those of Hugging Face's config.json.
struct ModelConfig {
  std::string architecture;  // "MiniCPMForCausalLM" or "LlamaForCausalLM"
  std::string torch_dtype;   // as written; informative
  std::int32_t hidden_size = 0;
  std::int32_t intermediate_size = 0;
  std::int32_t num_hidden_layers = 0;
  std::int32_t num_attention_heads = 0;
  std::int32_t num_key_value_heads = 0;  // divides num_attention_heads
  std::int32_t head_dim = 0;             // even
  std::int32_t vocab_size = 0;
  std::int32_t max_position_embeddings = 0;
  float rms_norm_eps = 0;
  bool tie_word_embeddings = true;  // advice: a real lm_head.weight in the checkpoint wins
  RopeConfig rope;

  // muP (MiniCPM, arXiv:2404.06395); all 1 for Llama.
  float embedding_scale = 1;  // scale_emb
  float residual_scale = 1;   // scale_depth / sqrt(num_hidden_layers)
  float logit_divisor = 1;    // hidden_size / dim_model_base

  std::optional<TokenId> bos_token_id;
  std::vector<TokenId> eos_token_ids;  // generation_config.json's first, then config.json's; unique
  GenerationDefaults generation;

  // Width of the queries that share a key-value head.
  std::int32_t kv_head_query_width() const {
    return num_attention_heads / num_key_value_heads * head_dim;
  }
};

// `generation_config_json` may be empty (the file is optional).
// Errors: kCorrupt (not JSON, a field missing, of the wrong type or out of range), kUnsupported
// (something well-formed that bitcpm does not run: named). The message names file and field.
Result<ModelConfig> parse_model_config(std::string_view config_json,
                                       std::string_view generation_config_json);

}  // namespace bitcpm
