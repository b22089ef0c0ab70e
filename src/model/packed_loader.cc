#include "model/packed_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "backend/backend.h"
#include "base/quote.h"
#include "io/packed_data.h"
#include "io/packed_manifest.h"
#include "model/assemble.h"
#include "model/canonical_image.h"
#include "model/model.h"
#include "model/tensor_slots.h"

namespace bitcpm {
namespace {

Error corrupt(const PackedTensor& tensor, std::string_view what) {
  return Error{Errc::kCorrupt,
               fmt::format("{}: {}: {}", kManifestFile, quote_name(tensor.name), what)};
}

// The tensors that the model needs, in its order; no others may be there.
Result<std::vector<const PackedTensor*>> match_slots(const PackedManifest& manifest,
                                                     const std::vector<TensorSlot>& slots) {
  std::map<std::string_view, const PackedTensor*> by_name;
  for (const PackedTensor& tensor : manifest.tensors) by_name[tensor.name] = &tensor;
  std::vector<const PackedTensor*> matched;
  for (const TensorSlot& slot : slots) {
    const auto found = by_name.find(slot.name);
    if (found == by_name.end()) {
      return Error{Errc::kCorrupt, fmt::format("{}: no tensor {}", kManifestFile, slot.name)};
    }
    const PackedTensor& tensor = *found->second;
    if (tensor.shape != slot.shape()) {
      return corrupt(tensor, "its shape is not the one that config.json asks for");
    }
    if (tensor.form == WeightForm::kTernary && slot.kind != SlotKind::kProjection) {
      return corrupt(tensor, "only projections may be ternary");
    }
    matched.push_back(&tensor);
  }
  if (manifest.tensors.size() != slots.size()) {
    return Error{Errc::kCorrupt, fmt::format("{}: {} tensors where config.json asks for {}",
                                             kManifestFile, manifest.tensors.size(), slots.size())};
  }
  return matched;
}

std::vector<TensorSlot> packed_slots(const PackedManifest& manifest, const ModelConfig& config) {
  std::vector<TensorSlot> slots = tensor_slots(config);
  if (manifest.head_tied) slots.pop_back();
  return slots;
}

ModelReport report_of(const PackedManifest& manifest,
                      const std::vector<const PackedTensor*>& tensors) {
  ModelReport report;
  report.head_tied = manifest.head_tied;
  report.warnings = manifest.warnings;
  report.packed = PackedOrigin{kPackedVersion, manifest.written_by, manifest.model,
                               static_cast<std::size_t>(manifest.data_bytes)};
  for (const PackedTensor* tensor : tensors) {
    std::size_t resident = 0;
    for (const SectionSize& section : canonical_sections(*tensor)) resident += section.bytes;
    report.add({.name = tensor->name,
                .stored_dtype = tensor->stored_dtype,
                .shape = tensor->shape,
                .form = tensor->form,
                .group = tensor->group,
                .stored_bytes = static_cast<std::size_t>(tensor->stored_bytes),
                .resident_bytes = resident,
                .note = tensor->note});
  }
  return report;
}

// One image, its sections' memory and what the backend calls it.
struct Loading {
  const PackedTensor* tensor = nullptr;
  const PackedImage* image = nullptr;
  ImageInfo info;
  std::vector<Buffer> sections;
};

class PackedSource {
 public:
  PackedSource(const PackedData& data, std::vector<const PackedTensor*> tensors, bool head_tied,
               Backend& backend, const LoadProgress& progress)
      : data_(data),
        tensors_(std::move(tensors)),
        head_tied_(head_tied),
        backend_(backend),
        images_(backend.weight_images()),
        progress_(progress) {
    for (const PackedTensor* tensor : tensors_) {
      for (const PackedImage& image : tensor->images) {
        for (const PackedSection& section : image.sections) bytes_total_ += section.length;
      }
    }
  }

  // Reads everything that the backend takes as it is in one go: small sections then keep all
  // threads busy too.
  Status read_images() {
    for (const PackedTensor* tensor : tensors_) {
      const bool is_head = tensor == tensors_.back() && !head_tied_;
      const bool is_embedding = tensor == tensors_.front();
      const ImageUse use = is_head                      ? ImageUse::kHead
                           : is_embedding && head_tied_ ? ImageUse::kTiedHead
                                                        : ImageUse::kLinear;
      // Embeddings and norms are read as values: a file that has them in a layout of products lies.
      if (use == ImageUse::kLinear && tensor->form != WeightForm::kTernary) continue;
      const PackedImage* image = find(*tensor, use);
      if (image == nullptr) continue;
      BITCPM_ASSIGN(adopted_[tensor],
                    allocate(*tensor, *image, [&](std::size_t n) { return images_.allocate(n); }));
    }
    std::vector<Loading*> all;
    for (const PackedTensor* tensor : tensors_) {  // in the order of the file
      if (const auto found = adopted_.find(tensor); found != adopted_.end()) {
        all.push_back(&found->second);
      }
    }
    return read(all);
  }

  // The next tensor: as read_images() left it, or as the checkpoint had it.
  Result<SourceWeight> next() {
    const PackedTensor& tensor = *tensors_[next_++];
    SourceWeight source;
    source.ready = adopted(tensor);
    if (source.ready == nullptr) {
      BITCPM_ASSIGN(source.matrix, read_matrix(tensor));
    }
    return source;
  }

 private:
  const PackedImage* find(const PackedTensor& tensor, ImageUse use) const {
    const auto serves = [&](const PackedImage& image) {
      return images_.serves(info_of(tensor, image), use);
    };
    const auto found = std::find_if(tensor.images.begin(), tensor.images.end(), serves);
    return found == tensor.images.end() ? nullptr : &*found;
  }

  static ImageInfo info_of(const PackedTensor& tensor, const PackedImage& image) {
    const MatrixShape shape = shape_of(tensor);
    return {image.layout, shape.rows, shape.cols, image.group};
  }

  // Memory for an image, after a look at whether its sections are what the layout wants.
  template <class Allocate>
  Result<Loading> allocate(const PackedTensor& tensor, const PackedImage& image,
                           const Allocate& buffer_of) const {
    Loading loading{&tensor, &image, info_of(tensor, image), {}};
    const std::vector<SectionSize> wanted = image.layout == kCanonicalLayout
                                                ? canonical_sections(tensor)
                                                : images_.sections(loading.info);
    const auto fits = [](const PackedSection& section, const SectionSize& size) {
      return section.name == size.name && section.length == padded_section(size.bytes);
    };
    if (wanted.empty() || !std::equal(image.sections.begin(), image.sections.end(), wanted.begin(),
                                      wanted.end(), fits)) {
      return corrupt(tensor, "sections of layout " + image.layout + " do not suit its shape");
    }
    for (const PackedSection& section : image.sections) {
      loading.sections.push_back(buffer_of(static_cast<std::size_t>(section.length)));
      if (loading.sections.back().size() != section.length) {
        return Error{Errc::kExhausted, "no memory for " + tensor.name};
      }
    }
    return loading;
  }

  Status read(std::span<Loading* const> loadings) {
    std::vector<SectionRead> reads;
    for (Loading* loading : loadings) {
      for (std::size_t i = 0; i < loading->sections.size(); ++i) {
        reads.push_back(
            {loading->tensor, &loading->image->sections[i], loading->sections[i].bytes()});
      }
    }
    return data_.read(reads, backend_.pool(), [&](std::uint64_t bytes, std::string_view tensor) {
      bytes_done_ += static_cast<std::size_t>(bytes);
      if (progress_) progress_(bytes_done_, bytes_total_, tensor);
    });
  }

  std::unique_ptr<PreparedWeight> adopted(const PackedTensor& tensor) {
    const auto found = adopted_.find(&tensor);
    if (found == adopted_.end()) return nullptr;
    return images_.adopt(found->second.info, std::move(found->second.sections));
  }

  // The checkpoint's own values.
  Result<QuantizedMatrix> read_matrix(const PackedTensor& tensor) {
    const auto is_canonical = [](const PackedImage& i) { return i.layout == kCanonicalLayout; };
    const auto found = std::find_if(tensor.images.begin(), tensor.images.end(), is_canonical);
    if (found == tensor.images.end()) {
      return Error{Errc::kUnsupported,
                   fmt::format("{}: {}: no layout of it is known here ({}); pack the model again",
                               kManifestFile, quote_name(tensor.name), tensor.images[0].layout)};
    }
    BITCPM_ASSIGN(Loading loading, allocate(tensor, *found, Buffer::allocate));
    Loading* const one[] = {&loading};
    BITCPM_TRY(read(one));
    return canonical_matrix(tensor, std::move(loading.sections));
  }

  const PackedData& data_;
  std::vector<const PackedTensor*> tensors_;
  bool head_tied_;
  Backend& backend_;
  WeightImages& images_;
  const LoadProgress& progress_;
  std::map<const PackedTensor*, Loading> adopted_;
  std::size_t next_ = 0;
  std::size_t bytes_done_ = 0;
  std::size_t bytes_total_ = 0;
};

}  // namespace

Result<LoadedModel> load_packed_model(ModelFiles& files, const ModelConfig& config,
                                      Backend& backend, const LoadProgress& progress) {
  BITCPM_ASSIGN(const PackedManifest manifest, read_manifest(files));
  BITCPM_ASSIGN(std::vector<const PackedTensor*> tensors,
                match_slots(manifest, packed_slots(manifest, config)));
  BITCPM_ASSIGN(const PackedData data, PackedData::open(files, manifest));
  PackedSource source(data, tensors, manifest.head_tied, backend, progress);
  BITCPM_TRY(source.read_images());
  const auto next = [&] { return source.next(); };
  BITCPM_ASSIGN(ModelWeights weights,
                assemble_weights(next, manifest.head_tied, config.num_hidden_layers, backend));
  LoadedModel loaded;
  loaded.report = report_of(manifest, tensors);
  loaded.model = std::make_unique<Model>(config, std::move(weights), backend);
  return loaded;
}

Result<ModelReport> inspect_packed(ModelFiles& files, const ModelConfig& config, ThreadPool& pool,
                                   const LoadProgress& progress) {
  BITCPM_ASSIGN(const PackedManifest manifest, read_manifest(files));
  BITCPM_ASSIGN(const std::vector<const PackedTensor*> tensors,
                match_slots(manifest, packed_slots(manifest, config)));
  BITCPM_ASSIGN(const PackedData data, PackedData::open(files, manifest));
  std::vector<SectionRead> reads;
  for (const PackedTensor* tensor : tensors) {
    for (const PackedImage& image : tensor->images) {
      for (const PackedSection& section : image.sections) reads.push_back({tensor, &section, {}});
    }
  }
  std::uint64_t done = 0;
  BITCPM_TRY(data.read(reads, pool, [&](std::uint64_t bytes, std::string_view tensor) {
    done += bytes;
    if (progress) progress(done, static_cast<std::size_t>(manifest.data_bytes), tensor);
  }));
  return report_of(manifest, tensors);
}

}  // namespace bitcpm
