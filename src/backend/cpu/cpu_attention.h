#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/batch_view.h"
#include "backend/cpu/cpu_kv_cache.h"
#include "backend/cpu/cpu_linear_input.h"
#include "base/thread_pool.h"
#include "kernels/table.h"

namespace bitcpm {

// The sequence whose rows include `row`: the last that begins at or before it.
const SequenceSlice& sequence_of(const BatchView& batch, std::int64_t row);

struct AttentionInput {
  TensorView q;  // [tokens, heads * head_dim]
  const BatchView& batch;
  const CpuKvCache& cache;
  std::int32_t layer;
  float scale;
};

// Divides attention among threads. Every row is computed from the same parts of its context, merged
// in the same order, whoever computes them. Its memory grows to the largest batch and is kept.
class CpuAttention {
 public:
  CpuAttention(const kernels::KernelTable& table, ThreadPool& pool) : table_(table), pool_(pool) {}

  // out = softmax(scale q K^T, causal) V, see Backend::paged_attention.
  void attend(const AttentionInput& input, CpuLinearInput& out);

 private:
  struct HeadShape {
    std::size_t kv_heads, heads, head_dim;  // heads: per K/V head
  };
  // Neighbouring tokens of one sequence with the query heads of one K/V head.
  struct Tile {
    const SequenceSlice* sequence;
    std::int64_t first_row;
    std::size_t tokens;
    std::size_t kv_head;
    std::size_t parts;       // of the longest context in it
    std::size_t first_part;  // in parts_, of a tile whose parts are tasks

    std::size_t cost() const { return tokens * parts; }
  };
  struct Task {
    std::size_t tile;
    std::size_t part;  // or kAllParts, and their merge
  };
  static constexpr std::size_t kAllParts = ~std::size_t{0};
  class Call;

  void make_tiles(const BatchView& batch);
  void make_tasks();
  void make_room();
  std::size_t part_floats(const Tile& tile) const;
  void place_parts(const Tile& tile, std::size_t first_part, float* memory);

  const kernels::KernelTable& table_;
  ThreadPool& pool_;
  HeadShape shape_{};
  std::vector<Tile> tiles_;  // the longest first
  std::size_t split_ = 0;    // leading tiles whose parts are tasks
  std::vector<Task> tasks_;
  // Of all split tiles; then, for each thread, those of the tile it is at.
  std::vector<kernels::AttentionPart> parts_;
  std::size_t thread_parts_ = 0;   // how many each thread has
  std::size_t thread_floats_ = 0;  // their memory, and a token's values after it
  std::size_t split_parts_ = 0;
  std::size_t split_floats_ = 0;
  Buffer memory_;  // behind parts_
};

}  // namespace bitcpm
