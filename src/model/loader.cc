#include "model/loader.h"

#include <utility>

#include "backend/backend.h"
#include "io/packed_manifest.h"
#include "model/assemble.h"
#include "model/model.h"
#include "model/packed_loader.h"
#include "model/synthetic.h"
#include "model/synthetic_matrix.h"
#include "model/weight_reader.h"

namespace bitcpm {

// The vectors of the backend are 16 lanes wide and ternary groups 32 in-features; attention writes
// its output by key-value heads, of limited size.
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
      {"num_attention_heads / num_key_value_heads * head_dim", config.kv_head_query_width(), 32},
  };
  for (const Width& width : widths) {
    if (width.value % width.multiple != 0) {
      return Error{Errc::kUnsupported, std::string("config.json: ") + width.name + " " +
                                           std::to_string(width.value) + " is not a multiple of " +
                                           std::to_string(width.multiple)};
    }
  }
  if (config.head_dim > kMaxHeadDim) {
    return Error{Errc::kUnsupported, "config.json: head_dim " + std::to_string(config.head_dim) +
                                         " is above " + std::to_string(kMaxHeadDim)};
  }
  return {};
}

void ModelReport::add(TensorReport tensor) {
  std::int64_t values = 1;
  for (const std::int64_t extent : tensor.shape) values *= extent;
  parameters += values;
  ternary_parameters += tensor.form == WeightForm::kTernary ? values : 0;
  stored_bytes += tensor.stored_bytes;
  resident_bytes += tensor.resident_bytes;
  tensors.push_back(std::move(tensor));
}

TensorReport report_tensor(const TensorSlot& slot, const std::string& stored_dtype,
                           std::size_t stored_bytes, const EncodedMatrix& encoded) {
  const QuantizedMatrix& matrix = encoded.matrix;
  return {.name = slot.name,
          .stored_dtype = stored_dtype,
          .shape = slot.shape(),
          .form = matrix.form,
          .group = matrix.group,
          .stored_bytes = stored_bytes,
          .resident_bytes = matrix.bytes(),
          .note = encoded.not_ternary_because};
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
  std::size_t index = 0;
  const auto next = [&]() -> Result<SourceWeight> {
    BITCPM_ASSIGN(QuantizedMatrix matrix, reader.read(index++, backend.pool(), progress));
    return SourceWeight{nullptr, std::move(matrix)};
  };
  BITCPM_ASSIGN(ModelWeights weights,
                assemble_weights(next, reader.head_tied(), config.num_hidden_layers, backend));
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
  const auto next = [&]() -> Result<SourceWeight> {
    const TensorSlot& slot = slots[report.tensors.size()];
    BITCPM_ASSIGN(EncodedMatrix made, make_synthetic_matrix(slot, seed, group, backend.pool()));
    report.add(report_tensor(slot, "BF16", slot.bf16_bytes(), made));
    if (progress) progress(report.stored_bytes, total, slot.name);
    return SourceWeight{nullptr, std::move(made.matrix)};
  };
  BITCPM_ASSIGN(ModelWeights weights,
                assemble_weights(next, report.head_tied, config.num_hidden_layers, backend));
  loaded.model = std::make_unique<Model>(std::move(config), std::move(weights), backend);
  return loaded;
}

}  // namespace bitcpm
