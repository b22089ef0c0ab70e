#pragma once

#include "base/result.h"
#include "io/model_files.h"
#include "io/tensor_map.h"

namespace bitcpm {

// All tensors of a checkpoint, whatever files they are in. Looked for in this order:
// model.safetensors; model.safetensors.index.json and its shards; pytorch_model.bin;
// pytorch_model.bin.index.json and its shards. A shard index must name plain files of the same
// folder, every tensor it lists must be in the shard it names, and no tensor may be in two.
// The result views `files`, which must outlive it.
// Errors: kNotFound (no weights), kCorrupt, kUnsupported; the message starts with the file's name.
Result<TensorMap> read_checkpoint(ModelFiles& files);

}  // namespace bitcpm
