#include "model/weight_reader.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/quote.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {
namespace {

constexpr std::size_t kNamedForeignTensors = 3;  // in a warning; the rest is counted

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  }
  return text + "]";
}

Status check_tensor(const TensorSlot& slot, const StoredTensor& tensor) {
  if (!tensor.dtype) {
    return Error{Errc::kUnsupported, slot.name + ": element type " + quote_name(tensor.dtype_name) +
                                         "; weights are bf16, f16 or f32"};
  }
  if (tensor.shape != slot.shape()) {
    return Error{Errc::kCorrupt, slot.name + ": shape " + shape_text(tensor.shape) +
                                     " where config.json asks for " + shape_text(slot.shape())};
  }
  return {};
}

bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  return a.dtype == b.dtype && a.bytes.size() == b.bytes.size() &&
         (a.bytes.data() == b.bytes.data() ||
          std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0);
}

// Buffers that old exporters wrote along and that the config determines.
bool is_derived_buffer(std::string_view name) { return name.ends_with(".rotary_emb.inv_freq"); }

}  // namespace

Result<WeightReader> WeightReader::open(ModelFiles& files, const ModelConfig& config) {
  BITCPM_ASSIGN(TensorMap tensors, read_checkpoint(files));
  WeightReader reader(files, std::move(tensors));
  BITCPM_TRY(reader.match(config));
  return reader;
}

Status WeightReader::match(const ModelConfig& config) {
  slots_ = tensor_slots(config);
  const auto head = tensors_.find(slots_.back().name);
  const auto embedding = tensors_.find(slots_.front().name);
  if (head == tensors_.end()) {
    report_.head_tied = true;
    if (!config.tie_word_embeddings) {
      report_.warnings.push_back(
          "config.json says tie_word_embeddings false, but there is no lm_head.weight: the head is "
          "tied to the embedding");
    }
  } else if (embedding != tensors_.end() && same_bytes(head->second, embedding->second)) {
    report_.head_tied = true;  // the same matrix stored twice, or one storage under two names
  } else if (config.tie_word_embeddings) {
    report_.warnings.push_back(
        "config.json says tie_word_embeddings, but lm_head.weight differs from the embedding: the "
        "real head is used");
  }
  if (report_.head_tied) slots_.pop_back();
  for (const TensorSlot& slot : slots_) {
    const auto found = tensors_.find(slot.name);
    if (found == tensors_.end()) {
      return Error{Errc::kCorrupt, "the checkpoint has no tensor " + slot.name};
    }
    BITCPM_TRY(check_tensor(slot, found->second));
    bytes_total_ += found->second.bytes.size();
  }
  return refuse_foreign_tensors();
}

// A tensor that the architecture does not have means that the architecture is another one: running
// without it would silently be a different model. Outside the decoder it is only named.
Status WeightReader::refuse_foreign_tensors() {
  std::set<std::string_view> known;
  for (const TensorSlot& slot : slots_) known.insert(slot.name);
  known.insert("lm_head.weight");
  std::string names;
  std::size_t foreign = 0;
  for (const auto& [name, tensor] : tensors_) {
    if (known.contains(name) || is_derived_buffer(name)) continue;
    if (name.starts_with("model.") || name == "lm_head.bias") {
      return Error{Errc::kUnsupported,
                   "tensor " + quote_name(name) + " is not part of this architecture"};
    }
    if (foreign++ < kNamedForeignTensors) names += (names.empty() ? "" : ", ") + quote_name(name);
  }
  if (foreign > kNamedForeignTensors) {
    names += " and " + std::to_string(foreign - kNamedForeignTensors) + " more";
  }
  if (foreign > 0) report_.warnings.push_back("tensors outside the decoder are not used: " + names);
  return {};
}

Result<QuantizedMatrix> WeightReader::read(std::size_t index, ThreadPool& pool,
                                           const LoadProgress& progress) {
  const TensorSlot& slot = slots_[index];
  const StoredTensor& tensor = tensors_.at(slot.name);
  const StoredMatrix stored{*tensor.dtype, slot.rows, slot.cols, tensor.bytes};
  EncodedMatrix encoded;
  if (slot.kind == SlotKind::kProjection) {
    BITCPM_ASSIGN(encoded, encode_ternary(stored, pool));
  } else {
    BITCPM_ASSIGN(encoded.matrix, encode_dense(stored, pool));
  }
  report_.add(report_tensor(slot, tensor.dtype_name, tensor.bytes.size(), encoded));
  files_->release_pages(tensor.bytes);
  bytes_done_ += tensor.bytes.size();
  if (progress) progress(bytes_done_, bytes_total_, slot.name);
  return std::move(encoded.matrix);
}

}  // namespace bitcpm
