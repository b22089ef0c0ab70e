#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "model/tensor_slots.h"

// Random checkpoints of the published shapes: what a download would weigh and cost to run, without
// the download. Shapes and constants are those of the models' config.json files; the weights mean
// nothing. Everything here is a pure function of its arguments; any thread.
namespace bitcpm {

// One published architecture. Fields as in ModelConfig.
struct SyntheticShape {
  std::string_view name;  // what `bitcpm synth --like` accepts
  bool llama;             // LlamaForCausalLM; else MiniCPMForCausalLM with its muP scales
  std::int32_t hidden_size;
  std::int32_t intermediate_size;
  std::int32_t num_hidden_layers;
  std::int32_t num_attention_heads;
  std::int32_t num_key_value_heads;
  std::int32_t head_dim;  // 64 or 128, which decides about the LongRoPE factors
  double rms_norm_eps;
  bool tie_word_embeddings;
};

inline constexpr std::int32_t kSyntheticVocabSize = 73448;
inline constexpr std::int32_t kSyntheticMaxPosition = 32768;
inline constexpr TokenId kSyntheticFirstAddedToken = 73440;  // <|im_end|>, also an eos

std::span<const SyntheticShape> synthetic_shapes();
const SyntheticShape* find_synthetic_shape(std::string_view name);  // null if unknown

// In the order of the model: embedding, layers, norm, head (none if it is tied).
std::vector<TensorSlot> synthetic_tensors(const SyntheticShape& shape);

inline constexpr std::int64_t kSyntheticGroupRow = -1;  // one scale per row
inline constexpr std::int64_t kSyntheticPlain = 0;      // not ternary

// bf16 values of rows [row_begin, row_begin + out.size() / cols) of `tensor`; the same bits for the
// same seed, whatever the ranges. `group` is about projections only: kSyntheticPlain (bell-shaped
// values), or fake-quantised: -s, a zero of either sign, or +s, with one bf16 s per `group`
// in-features, where group divides cols or is kSyntheticGroupRow.
// Requires: out.size() a multiple of cols, the rows inside the tensor.
void fill_synthetic(const TensorSlot& tensor, std::uint64_t seed, std::int64_t group,
                    std::int64_t row_begin, std::span<std::uint16_t> out);

// config.json and generation_config.json of the shape, as a published checkpoint has them.
std::string synthetic_config_json(const SyntheticShape& shape);
std::string synthetic_generation_config_json();

}  // namespace bitcpm
