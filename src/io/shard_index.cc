#include "io/shard_index.h"

#include <utility>

#include "base/json.h"
#include "base/quote.h"

namespace bitcpm {
namespace {

// The largest published indexes (mixtures of experts) hold 1e5 tensors in 9 MB, 200 files.
constexpr JsonLimits kLimits = {.max_bytes = std::size_t{64} << 20, .max_depth = 8};
constexpr std::size_t kMaxTensors = std::size_t{1} << 20;
constexpr std::size_t kMaxShards = 10'000;

Error corrupt(std::string message) { return Error{Errc::kCorrupt, std::move(message)}; }

}  // namespace

Result<ShardIndex> parse_shard_index(std::string_view text) {
  Result<json::value> parsed = parse_json(text, kLimits);
  if (!parsed.ok()) return corrupt(escaped(parsed.error().message, 200));
  const json::object* root = parsed->if_object();
  const json::value* map = root == nullptr ? nullptr : root->if_contains("weight_map");
  if (map == nullptr || !map->is_object()) return corrupt("no weight_map object");
  const json::object& weight_map = map->as_object();
  if (weight_map.empty()) return corrupt("weight_map is empty");
  if (weight_map.size() > kMaxTensors) {
    return corrupt("weight_map lists more than " + std::to_string(kMaxTensors) + " tensors");
  }
  ShardIndex index;
  for (const json::key_value_pair& item : weight_map) {
    const std::string tensor(item.key().data(), item.key().size());
    const json::string* file = item.value().if_string();
    if (file == nullptr) {
      return corrupt("weight_map: tensor " + quote_name(tensor) + " is not in a file name");
    }
    index[std::string(file->data(), file->size())].push_back(tensor);
    if (index.size() > kMaxShards) {
      return corrupt("weight_map names more than " + std::to_string(kMaxShards) + " files");
    }
  }
  return index;
}

}  // namespace bitcpm
