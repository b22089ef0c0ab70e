#pragma once

#include "model/loader.h"

namespace bitcpm {

// load_model() and inspect_weights() for a directory that `bitcpm pack` wrote (is_packed()). What
// the backend runs as it is comes straight into its memory, in parallel pieces; the rest is stored
// as the checkpoint had it and goes the usual way. Every byte read is checked.
// Errors: those of parse_manifest and PackedData, kCorrupt (does not fit config.json), kUnsupported
// (a layout that this backend does not know).
Result<LoadedModel> load_packed_model(ModelFiles& files, const ModelConfig& config,
                                      Backend& backend, const LoadProgress& progress);

// Reads and checks all of the data file too.
Result<ModelReport> inspect_packed(ModelFiles& files, const ModelConfig& config, ThreadPool& pool,
                                   const LoadProgress& progress);

}  // namespace bitcpm
