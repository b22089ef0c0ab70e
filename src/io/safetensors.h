#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "io/tensor_map.h"

namespace bitcpm {

// Reads a safetensors file (github.com/huggingface/safetensors, "Format"): u64 header length, JSON
// header, data. Stricter than the reference reader: a duplicate name and a header that does not
// begin with '{' are refused. The tensors tile the data section exactly: no hole, no overlap.
// The result views `file`. Errors: kCorrupt; the message names the tensor, not the file.
Result<TensorMap> read_safetensors(std::span<const std::byte> file);

}  // namespace bitcpm
