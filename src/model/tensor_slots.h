#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/model_config.h"

namespace bitcpm {

enum class SlotKind : std::uint8_t { kEmbedding, kNorm, kProjection, kHead };

// One tensor that a checkpoint of some shape must bring: its Hugging Face name and its shape.
struct TensorSlot {
  std::string name;
  SlotKind kind = SlotKind::kProjection;
  std::int64_t rows = 0;  // out-features; 1 for a norm
  std::int64_t cols = 0;  // in-features

  std::vector<std::int64_t> shape() const {
    return kind == SlotKind::kNorm ? std::vector<std::int64_t>{cols}
                                   : std::vector<std::int64_t>{rows, cols};
  }
  std::size_t bf16_bytes() const { return 2 * static_cast<std::size_t>(rows * cols); }
};

// The tensors of one decoder layer, in the order of LayerWeights: two norms, q, k, v, o, gate, up,
// down.
inline constexpr std::size_t kSlotsPerLayer = 9;

// All tensors of the model: embedding, the layers' slots, norm, lm_head. The head's slot is always
// there; a checkpoint without that tensor is tied.
std::vector<TensorSlot> tensor_slots(const ModelConfig& config);

}  // namespace bitcpm
