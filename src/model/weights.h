#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "backend/backend.h"

namespace bitcpm {

struct LayerWeights {
  Buffer input_layernorm;           // [hidden]
  Buffer post_attention_layernorm;  // [hidden]
  // [out, in]; the widths in between are heads * head_dim, kv heads * head_dim and intermediate.
  std::unique_ptr<PreparedWeight> q_proj, k_proj, v_proj, o_proj;
  std::unique_ptr<PreparedWeight> gate_proj, up_proj, down_proj;
};

// All weights of one decoder, in the memory of one backend.
struct ModelWeights {
  std::unique_ptr<PreparedWeight> embed_tokens;  // [vocab, hidden]; null: lm_head serves
  std::vector<LayerWeights> layers;
  Buffer norm;                              // [hidden]
  std::unique_ptr<PreparedWeight> lm_head;  // [vocab, hidden]

  const PreparedWeight& embedding() const { return embed_tokens ? *embed_tokens : *lm_head; }
  const PreparedWeight& head() const { return *lm_head; }
  std::size_t bytes() const;
  // What a forward pass reads; with `screened`, if its logits are those of Backend::top_logits().
  std::size_t pass_bytes(bool screened) const;
};

}  // namespace bitcpm
