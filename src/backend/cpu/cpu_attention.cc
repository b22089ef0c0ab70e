#include "backend/cpu/cpu_attention.h"

#include <algorithm>
#include <tuple>

#include "backend/cpu/share_out.h"
#include "base/check.h"

namespace bitcpm {
namespace {

using kernels::AttentionArgs;
using kernels::AttentionPart;
using kernels::kAttentionSplit;
using kernels::kKvBlockTokens;
using kernels::KvBlocks;

// Query rows that go over the keys and values together: enough to reuse what is in the cache, few
// enough that their outputs stay there as well. As many as tiles of the amx level take at once.
constexpr std::size_t kTileRows = 64;

// Tiles that cost more than this share of what a thread has to do are divided into their parts.
constexpr std::size_t kTasksPerThread = 4;

std::size_t whole_lines(std::size_t floats) { return (floats + 15) & ~std::size_t{15}; }

}  // namespace

// One call's operands, and what is done with them.
class CpuAttention::Call {
 public:
  Call(const kernels::KernelTable& table, const HeadShape& shape, const AttentionInput& input,
       CpuLinearInput& out)
      : table_(table), shape_(shape), in_(input), out_(out) {}

  // next: what the same thread reads after that
  void part(const Tile& tile, std::size_t index, const AttentionPart& part,
            const KvBlocks& next) const {
    const KvBlocks cached = blocks(tile, 0);
    const std::int64_t position =
        tile.sequence->first_position + tile.first_row - tile.sequence->first_row;
    const AttentionArgs args{
        .q = in_.q.row(tile.first_row) + offset(tile),
        .ldq = static_cast<std::size_t>(in_.q.stride),
        .tokens = tile.tokens,
        .heads = shape_.heads,
        .head_dim = shape_.head_dim,
        .k_blocks = cached.keys,
        .v_blocks = cached.values,
        .block_stride = in_.cache.block_stride(),
        .head_bytes = in_.cache.head_bytes(),
        .block_ids = cached.ids,
        .context = static_cast<std::size_t>(position) + 1,
        .scale = in_.scale,
        .next = next,
    };
    table_.attention[static_cast<std::size_t>(in_.cache.type())](args, index * kAttentionSplit,
                                                                 part);
  }

  // Of the tile's sequence, from the first that a part reads on.
  KvBlocks blocks(const Tile& tile, std::size_t part) const {
    const auto kv_head = static_cast<std::int32_t>(tile.kv_head);
    const std::span<const std::int32_t> ids = tile.sequence->block_ids;
    const std::size_t first = part * (kAttentionSplit / kKvBlockTokens);
    return {in_.cache.keys(in_.layer, kv_head), in_.cache.values(in_.layer, kv_head),
            ids.data() + first, ids.size() - first};
  }

  // In the place of the first part's sums.
  void merge(const Tile& tile, const AttentionPart* parts) const {
    float* out = parts[0].out;
    for (std::size_t row = 0; row < tile.tokens * shape_.heads; ++row) {
      table_.merge_attention(parts, tile.parts, row, shape_.head_dim, out + row * shape_.head_dim);
    }
    const auto width = static_cast<std::int64_t>(shape_.heads * shape_.head_dim);
    out_.put(table_, tile.first_row, static_cast<std::int64_t>(offset(tile)),
             TensorView::dense(out, static_cast<std::int64_t>(tile.tokens), width));
  }

 private:
  std::size_t offset(const Tile& tile) const {
    return tile.kv_head * shape_.heads * shape_.head_dim;
  }

  const kernels::KernelTable& table_;
  const HeadShape& shape_;
  const AttentionInput& in_;
  CpuLinearInput& out_;
};

const SequenceSlice& sequence_of(const BatchView& batch, std::int64_t row) {
  const auto after = std::upper_bound(
      batch.sequences.begin(), batch.sequences.end(), row,
      [](std::int64_t r, const SequenceSlice& sequence) { return r < sequence.first_row; });
  return *(after - 1);
}

void CpuAttention::make_tiles(const BatchView& batch) {
  const std::size_t most = std::max<std::size_t>(1, kTileRows / shape_.heads);
  tiles_.clear();
  for (const SequenceSlice& sequence : batch.sequences) {
    const auto rows = static_cast<std::size_t>(sequence.num_rows);
    for (std::size_t t = 0; t < rows; t += most) {
      const std::size_t tokens = std::min(most, rows - t);
      const std::size_t context = static_cast<std::size_t>(sequence.first_position) + t + tokens;
      for (std::size_t kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
        tiles_.push_back({&sequence, sequence.first_row + static_cast<std::int64_t>(t), tokens,
                          kv_head, (context - 1) / kAttentionSplit + 1, 0});
      }
    }
  }
  // The longest first, so that no thread is left alone with one at the end.
  std::sort(tiles_.begin(), tiles_.end(), [](const Tile& a, const Tile& b) {
    if (a.cost() != b.cost()) return a.cost() > b.cost();
    return std::tie(a.first_row, a.kv_head) < std::tie(b.first_row, b.kv_head);
  });
}

void CpuAttention::make_tasks() {
  std::size_t total = 0;
  for (const Tile& tile : tiles_) total += tile.cost();
  const std::size_t share = total / (kTasksPerThread * static_cast<std::size_t>(pool_.threads()));
  tasks_.clear();
  split_ = split_parts_ = split_floats_ = thread_parts_ = thread_floats_ = 0;
  for (std::size_t i = 0; i < tiles_.size(); ++i) {
    Tile& tile = tiles_[i];
    const std::size_t floats = tile.parts * part_floats(tile);
    if (tile.parts > 1 && tile.cost() > share && split_ == i) {
      ++split_;
      tile.first_part = split_parts_;
      split_parts_ += tile.parts;
      split_floats_ += floats;
      for (std::size_t part = 0; part < tile.parts; ++part) tasks_.push_back({i, part});
    } else {
      thread_parts_ = std::max(thread_parts_, tile.parts);
      thread_floats_ = std::max(thread_floats_, floats);
      tasks_.push_back({i, kAllParts});
    }
  }
}

// After this, nothing in parts_ or memory_ moves.
void CpuAttention::make_room() {
  const auto threads = static_cast<std::size_t>(pool_.threads());
  const std::size_t bytes = (split_floats_ + threads * thread_floats_) * sizeof(float);
  if (bytes > memory_.size()) {
    memory_ = Buffer();
    memory_ = Buffer::allocate(bytes);
    BITCPM_CHECK(memory_.size() == bytes);
  }
  parts_.resize(std::max(parts_.size(), split_parts_ + threads * thread_parts_));
  float* at = memory_.as<float>();
  for (std::size_t i = 0; i < split_; ++i) {
    place_parts(tiles_[i], tiles_[i].first_part, at);
    at += tiles_[i].parts * part_floats(tiles_[i]);
  }
}

std::size_t CpuAttention::part_floats(const Tile& tile) const {
  return whole_lines(tile.tokens * shape_.heads * (shape_.head_dim + 2));
}

void CpuAttention::place_parts(const Tile& tile, std::size_t first_part, float* memory) {
  const std::size_t rows = tile.tokens * shape_.heads;
  for (std::size_t i = 0; i < tile.parts; ++i, memory += part_floats(tile)) {
    float* max = memory + rows * shape_.head_dim;
    parts_[first_part + i] = {memory, max, max + rows};
  }
}

void CpuAttention::attend(const AttentionInput& input, CpuLinearInput& out) {
  const KvShape& kv = input.cache.shape();
  shape_.kv_heads = static_cast<std::size_t>(kv.num_key_value_heads);
  shape_.head_dim = static_cast<std::size_t>(kv.head_dim);
  shape_.heads = static_cast<std::size_t>(input.q.cols) / shape_.head_dim / shape_.kv_heads;
  make_tiles(input.batch);
  make_tasks();
  make_room();
  const Call call(table_, shape_, input, out);
  const auto memory_of = [&](std::size_t thread) {
    return memory_.as<float>() + split_floats_ + thread * thread_floats_;
  };
  const auto blocks_of = [&](std::size_t task) -> KvBlocks {
    if (task == tasks_.size()) return {};
    const auto [index, part] = tasks_[task];
    return call.blocks(tiles_[index], part == kAllParts ? 0 : part);
  };
  share_out_ahead(pool_, tasks_.size(), [&](std::size_t thread, std::size_t i, std::size_t next) {
    const auto [index, part] = tasks_[i];
    const Tile& tile = tiles_[index];
    if (part != kAllParts) {
      return call.part(tile, part, parts_[tile.first_part + part], blocks_of(next));
    }
    const std::size_t first = split_parts_ + thread * thread_parts_;
    place_parts(tile, first, memory_of(thread));
    for (std::size_t p = 0; p < tile.parts; ++p) {
      const bool last = p + 1 == tile.parts;
      call.part(tile, p, parts_[first + p], last ? blocks_of(next) : call.blocks(tile, p + 1));
    }
    call.merge(tile, parts_.data() + first);
  });
  share_out(pool_, split_, [&](std::size_t, std::size_t i) {
    call.merge(tiles_[i], parts_.data() + tiles_[i].first_part);
  });
}

}  // namespace bitcpm
