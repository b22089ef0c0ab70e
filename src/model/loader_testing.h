#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "model/loader.h"
#include "model/model.h"
#include "model/tensor_slots.h"

// What the tests of loading share.
namespace bitcpm {

// A checkpoint small enough to be built anew for every case, as values that a case may change.
struct TinyCheckpoint {
  struct Tensor {
    std::string dtype = "BF16";
    std::vector<std::int64_t> shape;
    std::vector<float> values;
  };

  explicit TinyCheckpoint(const std::string& extra_config = "") {
    config_json =
        R"({"architectures":["MiniCPMForCausalLM"],"hidden_size":64,"intermediate_size":96,)"
        R"("num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"vocab_size":40,)"
        R"("max_position_embeddings":64,"rms_norm_eps":1e-5,"hidden_act":"silu","scale_emb":2,)"
        R"("scale_depth":1.4,"dim_model_base":32,"bos_token_id":1,"eos_token_id":2)" +
        extra_config + "}";
    config = parse_model_config(config_json, "").value();
    std::uint32_t state = 1;
    for (const TensorSlot& slot : tensor_slots(config)) {
      if (slot.kind == SlotKind::kHead) continue;
      Tensor tensor{"BF16", slot.shape(), {}};
      for (std::int64_t i = 0; i < slot.rows * slot.cols; ++i) {
        state = state * 1664525u + 1013904223u;
        const int trit = static_cast<int>((state >> 24) % 3) - 1;
        const float dense = static_cast<float>(static_cast<int>(state >> 24) - 128) / 64.0f;
        tensor.values.push_back(slot.kind == SlotKind::kProjection
                                    ? 0.125f * static_cast<float>(trit)
                                    : (slot.kind == SlotKind::kNorm ? 1.0f : dense));
      }
      tensors[slot.name] = std::move(tensor);
    }
  }

  // The model files, viewing `storage`.
  ModelFiles files() {
    std::string header = "{";
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      const std::size_t begin = data.size();
      for (const float value : tensor.values) {
        if (tensor.dtype == "F32") {
          data.append(reinterpret_cast<const char*>(&value), 4);
        } else {
          const std::uint16_t half = bf16_from_f32(value);
          data.append(reinterpret_cast<const char*>(&half), 2);
        }
      }
      std::string shape;
      for (const std::int64_t extent : tensor.shape) {
        if (!shape.empty()) shape += ',';
        shape += std::to_string(extent);
      }
      if (header.size() > 1) header += ',';
      header += "\"" + name + R"(":{"dtype":")" + tensor.dtype + R"(","shape":[)" + shape +
                R"(],"data_offsets":[)" + std::to_string(begin) + "," +
                std::to_string(data.size()) + "]}";
    }
    header += "}";
    const std::uint64_t length = header.size();
    storage = std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
    return ModelFiles::from_memory("tiny",
                                   {{"config.json", std::as_bytes(std::span(config_json))},
                                    {"model.safetensors", std::as_bytes(std::span(storage))}});
  }

  std::string config_json;
  ModelConfig config;
  std::map<std::string, Tensor> tensors;
  std::string storage;
};

// Logits of four tokens of such a checkpoint.
inline std::vector<float> tiny_logits(const Model& model, Backend& backend) {
  const std::vector<TokenId> ids = {1, 5, 39, 7};
  const std::vector<std::int32_t> rows = {0, 1, 2, 3};
  const std::vector<std::int32_t> blocks = {0};
  const SequenceSlice slice{0, 4, 0, blocks};
  auto cache = backend.allocate_kv(model.kv_shape(), 1).value();
  Workspace workspace = model.make_workspace(4, 64).value();
  model.forward({ids, {&slice, 1}, rows}, *cache, workspace);
  return dense_values(model.logits(0, 4, workspace));
}

}  // namespace bitcpm
