#pragma once

#include "kernels/table.h"

// What attention asks memory for while it computes, written once over the vec16.h of the including
// level.
namespace {

using bitcpm::kernels::AttentionArgs;
using bitcpm::kernels::kKvBlockTokens;
using bitcpm::kernels::KvBlocks;

constexpr size_t kChunk = 128;  // positions whose scores are normalised together
constexpr size_t kChunkBlocks = kChunk / kKvBlockTokens;

// What is asked for while one chunk is computed: keys and values of the next, or values of this one
// and keys of the next. Of either, all blocks in turns, a line of each, since a core reads several
// pages at once faster than one after the other (docs/adr/0040).
class ChunkAhead {
 public:
  static constexpr size_t kLineBytes = 64;
  static constexpr size_t kLinesPerAsk = kChunkBlocks;

  // For the chunk at position `begin` of a part that ends at `end`, which a.next follows.
  // many_rows: those go over this chunk again and again and push another one out of the first-level
  // cache, so they ask for this one's values
  ChunkAhead(const AttentionArgs& a, size_t begin, size_t end, bool many_rows)
      : bytes_(a.head_bytes) {
    const size_t first = begin / kKvBlockTokens;
    const size_t blocks = (end - 1) / kKvBlockTokens + 1;
    const auto from = [&](size_t block) -> KvBlocks {
      return {a.k_blocks, a.v_blocks, a.block_ids + block, blocks - block};
    };
    const bool last = first + kChunkBlocks >= blocks;
    const KvBlocks next = last ? a.next : from(first + kChunkBlocks);
    if (many_rows) {
      const KvBlocks now = from(first);
      sides_[0].add(now, now.values, a.block_stride);
      sides_[1].add(next, next.keys, a.block_stride);
    } else {
      sides_[0].add(next, next.keys, a.block_stride);
      sides_[1].add(next, next.values, a.block_stride);
    }
  }

  void ask() {
    if (side_ >= 2) return;
    const Side& side = sides_[side_];
    for (size_t i = 0; i < side.count; ++i) prefetch(side.blocks[i] + at_);
    at_ += kLineBytes;
    if (at_ >= bytes_) at_ = 0, ++side_;
  }
  void ask(size_t times) {
    for (size_t i = 0; i < times; ++i) ask();
  }
  void ask_rest() {
    while (side_ < 2) ask();
  }

 private:
  struct Side {
    const char* blocks[kChunkBlocks];
    size_t count = 0;

    void add(const KvBlocks& from, const void* base, size_t stride) {
      for (; count < from.count && count < kChunkBlocks; ++count) {
        blocks[count] =
            static_cast<const char*>(base) + static_cast<size_t>(from.ids[count]) * stride;
      }
    }
  };

  Side sides_[2];
  size_t bytes_;
  size_t side_ = 0;
  size_t at_ = 0;
};

}  // namespace
