#include "checkpoint_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "console.h"
#include "io/safetensors_writer.h"

namespace bitcpm {
namespace {

// Large enough that the threads are busy between two writes, small enough to stay in cache-sized
// memory; no effect on the result.
constexpr std::size_t kChunkBytes = std::size_t{8} << 20;
constexpr std::size_t kRowsPerTask = 8;

Status write_tensor(SafetensorsWriter& writer, const TensorSlot& tensor,
                    const SyntheticValues& values, ThreadPool& pool,
                    std::vector<std::uint16_t>& chunk, const WriteProgress& progress) {
  const auto cols = static_cast<std::size_t>(tensor.cols);
  const auto rows = static_cast<std::size_t>(tensor.rows);
  const std::size_t rows_per_chunk = std::max<std::size_t>(1, kChunkBytes / (cols * 2));
  for (std::size_t first = 0; first < rows; first += rows_per_chunk) {
    const std::size_t count = std::min(rows_per_chunk, rows - first);
    chunk.resize(count * cols);
    pool.parallel_for(count, kRowsPerTask, [&](std::size_t begin, std::size_t end) {
      fill_synthetic(tensor, values.seed, values.group, static_cast<std::int64_t>(first + begin),
                     std::span(chunk).subspan(begin * cols, (end - begin) * cols));
    });
    const auto bytes = std::as_bytes(std::span(chunk));
    BITCPM_TRY(writer.append(bytes));
    if (!progress(bytes.size(), tensor.name)) return Error{Errc::kExhausted, "interrupted"};
  }
  return {};
}

}  // namespace

std::vector<Shard> plan_shards(const std::vector<TensorSlot>& tensors,
                               std::size_t max_shard_bytes) {
  std::vector<Shard> shards(1);
  std::size_t shard_bytes = 0;
  for (const TensorSlot& tensor : tensors) {
    if (shard_bytes > 0 && shard_bytes + tensor.bf16_bytes() > max_shard_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shard_bytes += tensor.bf16_bytes();
    shards.back().tensors.push_back(tensor);
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    shards[i].file_name =
        shards.size() == 1 ? "model.safetensors"
                           : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

std::string shard_index_json(std::span<const Shard> shards) {
  json::object weight_map;
  std::size_t total = 0;
  for (const Shard& shard : shards) {
    for (const TensorSlot& tensor : shard.tensors) {
      weight_map[tensor.name] = shard.file_name;
      total += tensor.bf16_bytes();
    }
  }
  return pretty_json(json::object{{"metadata", {{"total_size", total}}},
                                  {"weight_map", std::move(weight_map)}}) +
         "\n";
}

Status write_shard(const Shard& shard, const SyntheticValues& values,
                   const std::filesystem::path& folder, ThreadPool& pool,
                   const WriteProgress& progress) {
  std::vector<SafetensorsEntry> entries;
  for (const TensorSlot& tensor : shard.tensors) {
    entries.push_back({tensor.name, DType::kBf16, tensor.shape()});
  }
  BITCPM_ASSIGN(SafetensorsWriter writer,
                SafetensorsWriter::create(folder / shard.file_name, entries));
  std::vector<std::uint16_t> chunk;
  for (const TensorSlot& tensor : shard.tensors) {
    BITCPM_TRY(write_tensor(writer, tensor, values, pool, chunk, progress));
  }
  return writer.finish();
}

}  // namespace bitcpm
