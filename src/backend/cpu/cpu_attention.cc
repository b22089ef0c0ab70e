#include "backend/cpu/cpu_attention.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace bitcpm {
namespace {

using kernels::AttentionArgs;
using kernels::AttentionPart;
using kernels::kAttentionSplit;

// Query rows that go over the keys and values together: enough to reuse what is in the cache, few
// enough that their outputs stay there as well.
constexpr std::size_t kTileRows = 64;

// Neighbouring tokens of one sequence with the query heads of one K/V head.
struct Tile {
  const SequenceSlice* sequence;
  std::int64_t first_row;
  std::size_t tokens;
  std::size_t kv_head;
  std::size_t parts;  // of the longest context in it
};

struct HeadShape {
  std::size_t kv_heads, heads, head_dim;  // heads: per K/V head
};

std::vector<Tile> make_tiles(const BatchView& batch, const HeadShape& shape) {
  const std::size_t most = std::max<std::size_t>(1, kTileRows / shape.heads);
  std::vector<Tile> tiles;
  for (const SequenceSlice& sequence : batch.sequences) {
    const auto rows = static_cast<std::size_t>(sequence.num_rows);
    for (std::size_t t = 0; t < rows; t += most) {
      const std::size_t tokens = std::min(most, rows - t);
      const std::size_t context = static_cast<std::size_t>(sequence.first_position) + t + tokens;
      for (std::size_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
        tiles.push_back({&sequence, sequence.first_row + static_cast<std::int64_t>(t), tokens,
                         kv_head, (context - 1) / kAttentionSplit + 1});
      }
    }
  }
  // The longest first, so that no thread is left alone with one at the end.
  std::stable_sort(tiles.begin(), tiles.end(),
                   [](const Tile& a, const Tile& b) { return a.parts > b.parts; });
  return tiles;
}

// The memory of some parts of one tile.
class Parts {
 public:
  Parts(std::size_t count, std::size_t rows, std::size_t head_dim)
      : values_(count * rows * (head_dim + 2)) {
    float* at = values_.data();
    for (std::size_t i = 0; i < count; ++i, at += rows * (head_dim + 2)) {
      parts_.push_back({at, at + rows * head_dim, at + rows * (head_dim + 1)});
    }
  }
  const AttentionPart& operator[](std::size_t i) const { return parts_[i]; }
  const AttentionPart* data() const { return parts_.data(); }

 private:
  std::vector<float> values_;
  std::vector<AttentionPart> parts_;
};

class Attend {
 public:
  Attend(const kernels::KernelTable& table, const CpuAttention& attention, CpuLinearInput& out)
      : table_(table), a_(attention), out_(out) {
    const KvShape& kv = attention.cache.shape();
    shape_.kv_heads = static_cast<std::size_t>(kv.num_key_value_heads);
    shape_.head_dim = static_cast<std::size_t>(kv.head_dim);
    shape_.heads = static_cast<std::size_t>(attention.q.cols) / shape_.head_dim / shape_.kv_heads;
  }

  const HeadShape& shape() const { return shape_; }
  std::size_t rows(const Tile& tile) const { return tile.tokens * shape_.heads; }

  void part(const Tile& tile, std::size_t index, const AttentionPart& part) const {
    const auto kv_head = static_cast<std::int32_t>(tile.kv_head);
    const std::int64_t position =
        tile.sequence->first_position + tile.first_row - tile.sequence->first_row;
    const AttentionArgs args{
        .q = a_.q.row(tile.first_row) + offset(tile),
        .ldq = static_cast<std::size_t>(a_.q.stride),
        .tokens = tile.tokens,
        .heads = shape_.heads,
        .head_dim = shape_.head_dim,
        .k_blocks = a_.cache.keys(a_.layer, kv_head),
        .v_blocks = a_.cache.values(a_.layer, kv_head),
        .block_stride = a_.cache.block_stride(),
        .block_ids = tile.sequence->block_ids.data(),
        .context = static_cast<std::size_t>(position) + 1,
        .scale = a_.scale,
    };
    table_.attention[static_cast<std::size_t>(a_.cache.type())](args, index * kAttentionSplit,
                                                                part);
  }

  void merge(const Tile& tile, const AttentionPart* parts) const {
    const std::size_t width = shape_.heads * shape_.head_dim;
    std::vector<float> values(width);
    for (std::size_t t = 0; t < tile.tokens; ++t) {
      for (std::size_t h = 0; h < shape_.heads; ++h) {
        table_.merge_attention(parts, tile.parts, t * shape_.heads + h, shape_.head_dim,
                               values.data() + h * shape_.head_dim);
      }
      out_.put(table_, tile.first_row + static_cast<std::int64_t>(t),
               static_cast<std::int64_t>(offset(tile)), values.data(),
               static_cast<std::int64_t>(width));
    }
  }

 private:
  std::size_t offset(const Tile& tile) const {
    return tile.kv_head * shape_.heads * shape_.head_dim;
  }

  const kernels::KernelTable& table_;
  const CpuAttention& a_;
  CpuLinearInput& out_;
  HeadShape shape_{};
};

// One task per part: for a few streams with long contexts.
void attend_parts(const Attend& attend, const std::vector<Tile>& tiles, ThreadPool& pool) {
  struct Task {
    std::size_t tile, part;
  };
  std::vector<Parts> parts;
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    parts.emplace_back(tiles[i].parts, attend.rows(tiles[i]), attend.shape().head_dim);
    for (std::size_t p = 0; p < tiles[i].parts; ++p) tasks.push_back({i, p});
  }
  pool.parallel_for(tasks.size(), 1, [&](std::size_t i, std::size_t) {
    attend.part(tiles[tasks[i].tile], tasks[i].part, parts[tasks[i].tile][tasks[i].part]);
  });
  pool.parallel_for(tiles.size(), 1,
                    [&](std::size_t i, std::size_t) { attend.merge(tiles[i], parts[i].data()); });
}

}  // namespace

const SequenceSlice& sequence_of(const BatchView& batch, std::int64_t row) {
  const auto after = std::upper_bound(
      batch.sequences.begin(), batch.sequences.end(), row,
      [](std::int64_t r, const SequenceSlice& sequence) { return r < sequence.first_row; });
  return *(after - 1);
}

void attend(const kernels::KernelTable& table, ThreadPool& pool, const CpuAttention& attention,
            CpuLinearInput& out) {
  const Attend attend(table, attention, out);
  const std::vector<Tile> tiles = make_tiles(attention.batch, attend.shape());
  const auto threads = static_cast<std::size_t>(pool.threads());
  if (tiles.size() < 4 * threads && tiles.front().parts > 1) {
    attend_parts(attend, tiles, pool);
    return;
  }
  pool.parallel_for(tiles.size(), 1, [&](std::size_t i, std::size_t) {
    const Tile& tile = tiles[i];
    const Parts parts(tile.parts, attend.rows(tile), attend.shape().head_dim);
    for (std::size_t p = 0; p < tile.parts; ++p) attend.part(tile, p, parts[p]);
    attend.merge(tile, parts.data());
  });
}

}  // namespace bitcpm
