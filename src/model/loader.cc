#include "model/loader.h"

#include <utility>

#include "backend/backend.h"
#include "io/packed_manifest.h"
#include "model/model.h"
#include "model/packed_loader.h"
#include "model/weight_reader.h"
#include "model/weight_source.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {
namespace {

// A checkpoint's own weights, discovered and prepared as they are read.
class CheckpointSource final : public WeightSource {
 public:
  CheckpointSource(WeightReader& reader, Backend& backend, const LoadProgress& progress)
      : reader_(reader), backend_(backend), progress_(progress) {}

  Status tables(ModelWeights& weights) override {
    BITCPM_ASSIGN(QuantizedMatrix stored, read());
    if (reader_.head_tied()) {
      BITCPM_ASSIGN(weights.lm_head, backend_.prepare_head(stored));
    }
    BITCPM_ASSIGN(weights.embed_tokens, backend_.prepare(std::move(stored)));
    return {};
  }
  Result<Buffer> norm() override {
    BITCPM_ASSIGN(const QuantizedMatrix stored, read());
    return upload_norm(stored, backend_);
  }
  Result<std::unique_ptr<PreparedWeight>> projection() override {
    BITCPM_ASSIGN(QuantizedMatrix stored, read());
    return backend_.prepare(std::move(stored));
  }
  Status head(ModelWeights& weights) override {
    if (reader_.head_tied()) return {};
    BITCPM_ASSIGN(QuantizedMatrix stored, read());
    BITCPM_ASSIGN(weights.lm_head, backend_.prepare_head(stored));
    if (weights.lm_head == nullptr) {
      BITCPM_ASSIGN(weights.lm_head, backend_.prepare(std::move(stored)));
    }
    return {};
  }

 private:
  Result<QuantizedMatrix> read() { return reader_.read(next_++, backend_.pool(), progress_); }

  WeightReader& reader_;
  Backend& backend_;
  const LoadProgress& progress_;
  std::size_t next_ = 0;
};

}  // namespace

// The vectors of the backend are 16 lanes wide and ternary groups 32 in-features.
Status check_widths(const ModelConfig& config) {
  struct Width {
    const char* name;
    std::int32_t value;
    std::int32_t multiple;
  };
  const Width widths[] = {
      {"hidden_size", config.hidden_size, 32},
      {"intermediate_size", config.intermediate_size, 32},
      {"num_attention_heads * head_dim", config.num_attention_heads * config.head_dim, 32},
      {"head_dim", config.head_dim, 16},
  };
  for (const Width& width : widths) {
    if (width.value % width.multiple != 0) {
      return Error{Errc::kUnsupported, std::string("config.json: ") + width.name + " " +
                                           std::to_string(width.value) + " is not a multiple of " +
                                           std::to_string(width.multiple)};
    }
  }
  return {};
}

Result<Buffer> upload_norm(const QuantizedMatrix& matrix, Backend& backend) {
  std::vector<float> values(static_cast<std::size_t>(matrix.cols));
  decode_row(matrix, 0, values);
  return backend.upload(values);
}

Result<ModelWeights> assemble_weights(WeightSource& source, std::int32_t layers) {
  ModelWeights weights;
  BITCPM_TRY(source.tables(weights));
  for (std::int32_t i = 0; i < layers; ++i) {
    LayerWeights& layer = weights.layers.emplace_back();
    BITCPM_ASSIGN(layer.input_layernorm, source.norm());
    BITCPM_ASSIGN(layer.post_attention_layernorm, source.norm());
    for (auto* weight : {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj,
                         &layer.gate_proj, &layer.up_proj, &layer.down_proj}) {
      BITCPM_ASSIGN(*weight, source.projection());
    }
  }
  BITCPM_ASSIGN(weights.norm, source.norm());
  BITCPM_TRY(source.head(weights));
  return weights;
}

Result<ModelConfig> read_model_config(ModelFiles& files) {
  BITCPM_ASSIGN(const std::string_view config, files.open_text("config.json"));
  std::string_view generation;
  if (files.contains("generation_config.json")) {
    BITCPM_ASSIGN(generation, files.open_text("generation_config.json"));
  }
  return parse_model_config(config, generation);
}

Result<ModelReport> inspect_weights(ModelFiles& files, const ModelConfig& config, ThreadPool& pool,
                                    const LoadProgress& progress) {
  if (is_packed(files)) return inspect_packed(files, config, pool, progress);
  BITCPM_ASSIGN(WeightReader reader, WeightReader::open(files, config));
  for (std::size_t i = 0; i < reader.slots().size(); ++i) {
    BITCPM_TRY(reader.read(i, pool, progress));
  }
  return reader.take_report();
}

Result<LoadedModel> load_model(ModelFiles& files, const ModelConfig& config, Backend& backend,
                               const LoadProgress& progress) {
  BITCPM_TRY(check_widths(config));
  if (is_packed(files)) return load_packed_model(files, config, backend, progress);
  BITCPM_ASSIGN(WeightReader reader, WeightReader::open(files, config));
  CheckpointSource source(reader, backend, progress);
  BITCPM_ASSIGN(ModelWeights weights, assemble_weights(source, config.num_hidden_layers));
  LoadedModel loaded;
  loaded.report = reader.take_report();
  loaded.model = std::make_unique<Model>(config, std::move(weights), backend);
  return loaded;
}

std::size_t kv_bytes_per_token(const ModelConfig& config) {
  return 2 * sizeof(float) * static_cast<std::size_t>(config.num_hidden_layers) *
         static_cast<std::size_t>(config.num_key_value_heads) *
         static_cast<std::size_t>(config.head_dim);
}

}  // namespace bitcpm
