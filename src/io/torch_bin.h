#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "io/tensor_map.h"

namespace bitcpm {

// Reads the state dict of a `pytorch_model.bin` (torch.save, zip form): the zip directory and the
// *data* of its pickle. Nothing is executed: a fixed list of opcodes builds strings, numbers,
// tuples and dicts, and a fixed list of globals (collections.OrderedDict,
// torch._utils._rebuild_tensor_v2, torch._utils._rebuild_parameter, torch.*Storage) is recognised
// by name; any other opcode or global is refused by name.
// Refused too: compressed or encrypted members, zip64 sizes that lie, non-contiguous tensors,
// storages shared by overlapping views are fine (tied weights). The result views `file`.
// Errors: kCorrupt, kUnsupported; the message names the tensor or member, not the file.
Result<TensorMap> read_torch_bin(std::span<const std::byte> file);

}  // namespace bitcpm
