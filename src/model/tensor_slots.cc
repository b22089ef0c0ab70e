#include "model/tensor_slots.h"

namespace bitcpm {

std::vector<TensorSlot> tensor_slots(const ModelConfig& config) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t inter = config.intermediate_size;
  const std::int64_t q_width = std::int64_t{config.num_attention_heads} * config.head_dim;
  const std::int64_t kv_width = std::int64_t{config.num_key_value_heads} * config.head_dim;
  std::vector<TensorSlot> slots;
  slots.push_back({"model.embed_tokens.weight", SlotKind::kEmbedding, config.vocab_size, hidden});
  for (std::int32_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const auto norm = [&](const char* name) {
      slots.push_back({prefix + name + ".weight", SlotKind::kNorm, 1, hidden});
    };
    const auto projection = [&](const char* name, std::int64_t rows, std::int64_t cols) {
      slots.push_back({prefix + name + ".weight", SlotKind::kProjection, rows, cols});
    };
    norm("input_layernorm");
    norm("post_attention_layernorm");
    projection("self_attn.q_proj", q_width, hidden);
    projection("self_attn.k_proj", kv_width, hidden);
    projection("self_attn.v_proj", kv_width, hidden);
    projection("self_attn.o_proj", hidden, q_width);
    projection("mlp.gate_proj", inter, hidden);
    projection("mlp.up_proj", inter, hidden);
    projection("mlp.down_proj", hidden, inter);
  }
  slots.push_back({"model.norm.weight", SlotKind::kNorm, 1, hidden});
  slots.push_back({"lm_head.weight", SlotKind::kHead, config.vocab_size, hidden});
  return slots;
}

}  // namespace bitcpm
