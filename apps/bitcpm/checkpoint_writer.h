#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "model/synthetic.h"

namespace bitcpm {

// Which tensors go into which file of a checkpoint.
struct Shard {
  std::string file_name;
  std::vector<TensorSlot> tensors;
};

// One model.safetensors, or from `max_shard_bytes` on model-0000i-of-0000n.safetensors, in order.
std::vector<Shard> plan_shards(const std::vector<TensorSlot>& tensors, std::size_t max_shard_bytes);

// model.safetensors.index.json of several shards.
std::string shard_index_json(std::span<const Shard> shards);

// What fill_synthetic() needs besides the tensor.
struct SyntheticValues {
  std::uint64_t seed = 0;
  std::int64_t group = 0;
};

// Called after each chunk with the bytes it added; false stops the work.
using WriteProgress = std::function<bool(std::size_t bytes_added, std::string_view tensor)>;

// Writes one shard into `folder`, a few megabytes at a time. The bytes depend on `values` only.
// Errors: kIo, kExhausted (stopped by `progress`); no file is left then.
Status write_shard(const Shard& shard, const SyntheticValues& values,
                   const std::filesystem::path& folder, ThreadPool& pool,
                   const WriteProgress& progress);

}  // namespace bitcpm
