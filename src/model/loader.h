#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "io/model_config.h"
#include "io/model_files.h"
#include "model/tensor_slots.h"
#include "tensor/quantized_matrix.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {

class Backend;
class Model;
struct SyntheticShape;

// What became of one tensor of the checkpoint.
struct TensorReport {
  std::string name;
  std::string stored_dtype;  // as the file spells it
  std::vector<std::int64_t> shape;
  WeightForm form = WeightForm::kBf16;
  std::int64_t group = 0;          // kTernary: in-features per scale; cols means one per row
  std::size_t stored_bytes = 0;    // in the checkpoint
  std::size_t resident_bytes = 0;  // as kept: codes and scales
  std::string note;  // a projection that is not ternary says why; "unused", "tied"; else empty
};

// Of a model that comes from `bitcpm pack`.
struct PackedOrigin {
  int version = 0;         // of the format
  std::string written_by;  // the program, with its version
  std::string model;       // the checkpoint it was packed from
  std::size_t bytes = 0;   // the data file's
};

struct ModelReport {
  std::vector<TensorReport> tensors;  // in the order of the model: embedding, layers, norm, head
  bool head_tied = false;             // the head is the embedding matrix
  std::int64_t parameters = 0;        // values the model uses, a tied head counted once
  std::int64_t ternary_parameters = 0;
  std::size_t stored_bytes = 0;
  std::size_t resident_bytes = 0;
  std::vector<std::string> warnings;  // one line each, for the log
  std::optional<PackedOrigin> packed;

  // Enters one tensor and adds it to the totals.
  void add(TensorReport tensor);
};

// What a report says of a tensor that was read and encoded.
TensorReport report_tensor(const TensorSlot& slot, const std::string& stored_dtype,
                           std::size_t stored_bytes, const EncodedMatrix& encoded);

// Called between tensors, from the loading thread.
using LoadProgress =
    std::function<void(std::size_t bytes_done, std::size_t bytes_total, std::string_view tensor)>;

// config.json and generation_config.json of a checkpoint.
// Errors: those of parse_model_config, the message starting with the file's name.
Result<ModelConfig> read_model_config(ModelFiles& files);

// What load_model would keep, tensor by tensor, without keeping it. A packed model is read and
// checked to the last byte.
Result<ModelReport> inspect_weights(ModelFiles& files, const ModelConfig& config, ThreadPool& pool,
                                    const LoadProgress& progress);

struct LoadedModel {
  std::unique_ptr<Model> model;
  ModelReport report;
};

// Whether the backend's operations can run such a model. Errors: kUnsupported.
Status check_widths(const ModelConfig& config);

// Reads, discovers, packs and hands every weight to the backend; the pages of the source files are
// released as it goes, so that the peak is about the packed size. A packed model (is_packed()) is
// read as packed_loader.h says, to the same bits. `backend` must outlive the model.
// Errors: a missing tensor, a wrong shape, a file that does not parse: named.
Result<LoadedModel> load_model(ModelFiles& files, const ModelConfig& config, Backend& backend,
                               const LoadProgress& progress);

// A random model of a published shape: what load_model would make of the checkpoint that `bitcpm
// synth` writes, without the files; one tensor at a time. Errors: kExhausted (no memory).
Result<LoadedModel> load_synthetic_model(const SyntheticShape& shape, std::uint64_t seed,
                                         std::int64_t group, Backend& backend,
                                         const LoadProgress& progress);

}  // namespace bitcpm
