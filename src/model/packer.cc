#include "model/packer.h"

#include <utility>

#include "backend/backend.h"
#include "model/canonical_image.h"
#include "model/weight_reader.h"

namespace bitcpm {
namespace {

Status append_image(const WeightImage& image, PackedWriter& writer, PackedTensor& tensor) {
  PackedImage& entry = tensor.images.emplace_back();
  entry.layout = image.info.layout;
  entry.group = image.info.group;
  for (const ImageSection& section : image.sections) {
    BITCPM_ASSIGN(PackedSection written, writer.append(std::string(section.name), section.bytes));
    entry.sections.push_back(std::move(written));
  }
  return {};
}

Status append_projection(QuantizedMatrix matrix, Backend& backend, PackedWriter& writer,
                         PackedTensor& tensor) {
  if (matrix.form != WeightForm::kTernary) {
    return append_image(canonical_image(matrix), writer, tensor);
  }
  BITCPM_ASSIGN(const std::unique_ptr<PreparedWeight> weight, backend.prepare(std::move(matrix)));
  const WeightImage image = weight->image();
  // pack runs with a backend that keeps ternary weights so.
  BITCPM_CHECK(backend.weight_images().serves(image.info, ImageUse::kLinear));
  return append_image(image, writer, tensor);
}

Status append_slot(const TensorSlot& slot, bool serves_head, QuantizedMatrix matrix,
                   Backend& backend, PackedWriter& writer, PackedTensor& tensor) {
  if (slot.kind == SlotKind::kProjection) {
    return append_projection(std::move(matrix), backend, writer, tensor);
  }
  BITCPM_TRY(append_image(canonical_image(matrix), writer, tensor));
  if (!serves_head) return {};
  BITCPM_ASSIGN(const std::unique_ptr<PreparedWeight> head,
                backend.prepare_head(matrix, slot.kind == SlotKind::kEmbedding));
  if (head->image().info.layout.empty()) return {};
  return append_image(head->image(), writer, tensor);
}

}  // namespace

Result<PackedModel> pack_weights(ModelFiles& files, const ModelConfig& config, Backend& backend,
                                 PackedWriter& writer, const PackProgress& progress) {
  BITCPM_TRY(check_widths(config));
  BITCPM_ASSIGN(WeightReader reader, WeightReader::open(files, config));
  bool stopped = false;
  const LoadProgress show = [&](std::size_t done, std::size_t total, std::string_view tensor) {
    stopped = stopped || !progress(done, total, tensor);
  };
  PackedModel packed;
  for (std::size_t i = 0; i < reader.slots().size() && !stopped; ++i) {
    const TensorSlot& slot = reader.slots()[i];
    BITCPM_ASSIGN(QuantizedMatrix matrix, reader.read(i, backend.pool(), show));
    PackedTensor& tensor = packed.manifest.tensors.emplace_back();
    tensor.name = slot.name;
    tensor.shape = slot.shape();
    tensor.form = matrix.form;
    tensor.group = matrix.group;
    const bool serves_head =
        slot.kind == SlotKind::kHead || (slot.kind == SlotKind::kEmbedding && reader.head_tied());
    BITCPM_TRY(append_slot(slot, serves_head, std::move(matrix), backend, writer, tensor));
  }
  if (stopped) return Error{Errc::kExhausted, "interrupted"};
  packed.report = reader.take_report();
  for (std::size_t i = 0; i < packed.report.tensors.size(); ++i) {
    const TensorReport& from = packed.report.tensors[i];
    PackedTensor& tensor = packed.manifest.tensors[i];
    tensor.stored_dtype = from.stored_dtype;
    tensor.stored_bytes = from.stored_bytes;
    tensor.note = from.note;
  }
  packed.manifest.head_tied = packed.report.head_tied;
  packed.manifest.warnings = packed.report.warnings;
  packed.manifest.data_bytes = writer.bytes();
  return packed;
}

}  // namespace bitcpm
