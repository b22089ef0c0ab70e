#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "io/model_config.h"
#include "io/model_files.h"
#include "io/packed_manifest.h"
#include "io/packed_writer.h"
#include "model/loader.h"

namespace bitcpm {

class Backend;

// As LoadProgress; false stops the work.
using PackProgress =
    std::function<bool(std::size_t bytes_done, std::size_t bytes_total, std::string_view tensor)>;

struct PackedModel {
  PackedManifest manifest;  // complete but for written_by and model
  ModelReport report;
};

// Writes all weights of a checkpoint, one tensor after the other: what prepare() makes of it if
// that can be turned back, else its rows; and a head's own form beside its rows. So the layouts are
// those that `backend` runs without preparing. finish() is the caller's.
// Errors: those of WeightReader and PackedWriter, kExhausted (no memory; stopped by `progress`).
Result<PackedModel> pack_weights(ModelFiles& files, const ModelConfig& config, Backend& backend,
                                 PackedWriter& writer, const PackProgress& progress);

}  // namespace bitcpm
