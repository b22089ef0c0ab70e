#include "model/loader.h"

#include <utility>

#include "backend/backend.h"
#include "base/function_ref.h"
#include "io/packed_manifest.h"
#include "model/model.h"
#include "model/packed_loader.h"
#include "model/synthetic.h"
#include "model/synthetic_matrix.h"
#include "model/weight_reader.h"
#include "model/weight_source.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {
namespace {

// Where the matrices come from: slot `index` of tensor_slots(), without the head's if it is tied.
using ReadSlot = FunctionRef<Result<QuantizedMatrix>(std::size_t index)>;

// Weights in canonical form, prepared as they are read.
class CanonicalSource final : public WeightSource {
 public:
  CanonicalSource(ReadSlot read_slot, bool head_tied, Backend& backend)
      : read_slot_(read_slot), head_tied_(head_tied), backend_(backend) {}

  Status tables(ModelWeights& weights) override {
    BITCPM_ASSIGN(QuantizedMatrix stored, read());
    if (head_tied_) {
      BITCPM_ASSIGN(weights.lm_head, backend_.prepare_head(stored, true));
      if (weights.lm_head != nullptr) return {};
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
    if (head_tied_) return {};
    BITCPM_ASSIGN(QuantizedMatrix stored, read());
    BITCPM_ASSIGN(weights.lm_head, backend_.prepare_head(stored, false));
    if (weights.lm_head == nullptr) {
      BITCPM_ASSIGN(weights.lm_head, backend_.prepare(std::move(stored)));
    }
    return {};
  }

 private:
  Result<QuantizedMatrix> read() { return read_slot_(next_++); }

  ReadSlot read_slot_;
  bool head_tied_;
  Backend& backend_;
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

void ModelReport::add(const TensorSlot& slot, const std::string& stored_dtype,
                      std::size_t stored_size, const EncodedMatrix& encoded) {
  const QuantizedMatrix& matrix = encoded.matrix;
  tensors.push_back({.name = slot.name,
                     .stored_dtype = stored_dtype,
                     .shape = slot.shape(),
                     .form = matrix.form,
                     .group = matrix.group,
                     .stored_bytes = stored_size,
                     .resident_bytes = matrix.bytes(),
                     .note = encoded.not_ternary_because});
  const std::int64_t values = slot.rows * slot.cols;
  parameters += values;
  ternary_parameters += matrix.form == WeightForm::kTernary ? values : 0;
  stored_bytes += stored_size;
  resident_bytes += matrix.bytes();
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
  const auto read = [&](std::size_t i) { return reader.read(i, backend.pool(), progress); };
  CanonicalSource source(read, reader.head_tied(), backend);
  BITCPM_ASSIGN(ModelWeights weights, assemble_weights(source, config.num_hidden_layers));
  LoadedModel loaded;
  loaded.report = reader.take_report();
  loaded.model = std::make_unique<Model>(config, std::move(weights), backend);
  return loaded;
}

Result<LoadedModel> load_synthetic_model(const SyntheticShape& shape, std::uint64_t seed,
                                         std::int64_t group, Backend& backend,
                                         const LoadProgress& progress) {
  BITCPM_ASSIGN(ModelConfig config, parse_model_config(synthetic_config_json(shape),
                                                       synthetic_generation_config_json()));
  BITCPM_TRY(check_widths(config));
  const std::vector<TensorSlot> slots = synthetic_tensors(shape);
  LoadedModel loaded;
  ModelReport& report = loaded.report;
  report.head_tied = shape.tie_word_embeddings;
  std::size_t total = 0;
  for (const TensorSlot& slot : slots) total += slot.bf16_bytes();
  const auto read = [&](std::size_t i) -> Result<QuantizedMatrix> {
    BITCPM_ASSIGN(EncodedMatrix made, make_synthetic_matrix(slots[i], seed, group, backend.pool()));
    report.add(slots[i], "BF16", slots[i].bf16_bytes(), made);
    if (progress) progress(report.stored_bytes, total, slots[i].name);
    return std::move(made.matrix);
  };
  CanonicalSource source(read, report.head_tied, backend);
  BITCPM_ASSIGN(ModelWeights weights, assemble_weights(source, config.num_hidden_layers));
  loaded.model = std::make_unique<Model>(std::move(config), std::move(weights), backend);
  return loaded;
}

std::size_t kv_bytes_per_token(const ModelConfig& config) {
  return 2 * sizeof(float) * static_cast<std::size_t>(config.num_hidden_layers) *
         static_cast<std::size_t>(config.num_key_value_heads) *
         static_cast<std::size_t>(config.head_dim);
}

}  // namespace bitcpm
