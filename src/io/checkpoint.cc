#include "io/checkpoint.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/quote.h"
#include "io/safetensors.h"
#include "io/shard_index.h"
#include "io/torch_bin.h"

namespace bitcpm {
namespace {

using FileReader = Result<TensorMap> (*)(std::span<const std::byte> file);

// The places where weights are looked for, the preferred first.
struct Source {
  std::string_view file;
  bool is_index;
  FileReader read;
};

constexpr Source kSources[] = {
    {"model.safetensors", false, read_safetensors},
    {"model.safetensors.index.json", true, read_safetensors},
    {"pytorch_model.bin", false, read_torch_bin},
    {"pytorch_model.bin.index.json", true, read_torch_bin},
};

Result<TensorMap> read_one_file(ModelFiles& files, std::string_view file, FileReader read) {
  BITCPM_ASSIGN(const std::span<const std::byte> bytes, files.open(file));
  Result<TensorMap> tensors = read(bytes);
  if (!tensors.ok()) return std::move(tensors).error().within(escaped(file));
  return tensors;
}

// A shard that is missing makes the checkpoint corrupt: its index promises it.
Result<TensorMap> read_shard(ModelFiles& files, const std::string& file, FileReader read) {
  Result<TensorMap> tensors = read_one_file(files, file, read);
  if (tensors.ok() || tensors.error().code != Errc::kNotFound) return tensors;
  return Error{Errc::kCorrupt, tensors.error().message};
}

Status add_shard(const std::string& file, TensorMap& shard, TensorMap& all) {
  while (!shard.empty()) {
    auto node = shard.extract(shard.begin());
    const std::string name = node.key();
    if (!all.insert(std::move(node)).inserted) {
      return Error{Errc::kCorrupt,
                   escaped(file) + ": tensor " + quote_name(name) + " is in another shard too"};
    }
  }
  return {};
}

Result<TensorMap> read_sharded(ModelFiles& files, const Source& source) {
  BITCPM_ASSIGN(const std::string_view text, files.open_text(source.file));
  Result<ShardIndex> index = parse_shard_index(text);
  if (!index.ok()) return std::move(index).error().within(source.file);
  TensorMap all;
  for (const auto& [file, tensors] : *index) {
    BITCPM_ASSIGN(TensorMap shard, read_shard(files, file, source.read));
    for (const std::string& tensor : tensors) {
      if (shard.contains(tensor)) continue;
      return Error{Errc::kCorrupt, escaped(file) + ": lacks the tensor " + quote_name(tensor) +
                                       " that " + std::string(source.file) + " places in it"};
    }
    BITCPM_TRY(add_shard(file, shard, all));
  }
  return all;
}

}  // namespace

Result<TensorMap> read_checkpoint(ModelFiles& files) {
  for (const Source& source : kSources) {
    if (!files.contains(source.file)) continue;
    if (source.is_index) return read_sharded(files, source);
    return read_one_file(files, source.file, source.read);
  }
  std::string looked_for;
  for (const Source& source : kSources) {
    looked_for += (looked_for.empty() ? "" : ", ") + std::string(source.file);
  }
  return Error{Errc::kNotFound, "no weights: none of " + looked_for};
}

}  // namespace bitcpm
