#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bitcpm {

// Which tensors a sharded checkpoint's index places in which file: file name to tensor names. File
// names are as written: ModelFiles::open refuses those that are not plain.
using ShardIndex = std::map<std::string, std::vector<std::string>>;

// Reads `weight_map` of a *.index.json; `metadata` is advice and ignored.
// Errors: kCorrupt (not such a JSON, more than 2^20 tensors, more than 10,000 files).
Result<ShardIndex> parse_shard_index(std::string_view text);

}  // namespace bitcpm
