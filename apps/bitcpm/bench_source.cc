#include "bench_source.h"

#include <fmt/format.h>

#include <utility>

#include "model/synthetic_matrix.h"
#include "model/tensor_slots.h"
#include "model/weight_reader.h"
#include "progress.h"
#include "synthetic_options.h"

namespace bitcpm {
namespace {

constexpr std::uint64_t kSeed = 0;  // as `bitcpm synth` by default

// "q_proj" of "model.layers.0.self_attn.q_proj.weight".
std::string short_name(const std::string& tensor) {
  const std::string stem = tensor.substr(0, tensor.rfind('.'));
  return stem.substr(stem.rfind('.') + 1);
}

}  // namespace

Result<BenchSource> BenchSource::open(const BenchOptions& options) {
  BenchSource source;
  if (options.like.empty()) {
    BITCPM_ASSIGN(source.files_, open_model_files(options.model));
    BITCPM_ASSIGN(source.config_, naming_model(*source.files_, read_model_config(*source.files_)));
    source.name_ = source.files_->display_name();
    return source;
  }
  source.shape_ = find_synthetic_shape(options.like);  // the flag allows no other
  source.group_ = synthetic_group(options.group);
  BITCPM_ASSIGN(source.config_, parse_model_config(synthetic_config_json(*source.shape_), ""));
  const std::string weights = options.group == "none"  ? "plain bf16"
                              : options.group == "row" ? "one scale per row"
                                                       : "groups of " + options.group;
  source.name_ = fmt::format("{} (random weights, {})", options.like, weights);
  return source;
}

Result<LoadedModel> BenchSource::load(Backend& backend) {
  Progress progress("loading");
  const auto show = [&](std::size_t done, std::size_t total, std::string_view tensor) {
    progress.update(done, total, tensor);
  };
  if (shape_ != nullptr) return load_synthetic_model(*shape_, kSeed, group_, backend, show);
  return naming_model(*files_, load_model(*files_, config_, backend, show));
}

Status BenchSource::each_linear(ThreadPool& pool, UseLinear use) {
  if (shape_ != nullptr) {
    const std::vector<TensorSlot> slots = synthetic_tensors(*shape_);
    const auto make = [&](const TensorSlot& slot) {
      return make_synthetic_matrix(slot, kSeed, group_, pool);
    };
    for (std::size_t i = 1; i <= kSlotsPerLayer; ++i) {
      if (slots[i].kind != SlotKind::kProjection) continue;
      BITCPM_ASSIGN(EncodedMatrix made, make(slots[i]));
      BITCPM_TRY(use(short_name(slots[i].name), std::move(made.matrix), false));
    }
    BITCPM_ASSIGN(EncodedMatrix head,
                  make(shape_->tie_word_embeddings ? slots.front() : slots.back()));
    return use("lm_head", std::move(head.matrix), true);
  }
  auto opened = naming_model(*files_, WeightReader::open(*files_, config_));
  if (!opened.ok()) return std::move(opened).error();
  WeightReader reader = std::move(opened).value();
  for (std::size_t i = 1; i <= kSlotsPerLayer; ++i) {
    const TensorSlot& slot = reader.slots()[i];
    if (slot.kind != SlotKind::kProjection) continue;
    BITCPM_ASSIGN(QuantizedMatrix matrix, reader.read(i, pool, {}));
    BITCPM_TRY(use(short_name(slot.name), std::move(matrix), false));
  }
  const std::size_t head_slot = reader.head_tied() ? 0 : reader.slots().size() - 1;
  BITCPM_ASSIGN(QuantizedMatrix head, reader.read(head_slot, pool, {}));
  return use("lm_head", std::move(head), true);
}

}  // namespace bitcpm
