#pragma once

#include "kernels/amx/tile_registers.h"
#include "kernels/shared/attention.h"

// What attention by tiles reads of the cache. Tiles multiply whole blocks: a weight of zero must
// not meet a NaN or an infinity there.
namespace {

inline bool finite(F16x v) { return lanes_at_least(set1(__FLT_MAX__), abs(v)) == 0xffff; }

// Whether the values are finite that some rows see and others do not.
inline bool values_are_finite(const AttentionArgs& a) {
  for (size_t position = a.context; position + 1 < a.context + a.tokens; ++position) {
    const uint16_t* v = block_at<uint16_t>(a, a.v_blocks, position / kKvBlockTokens);
    const size_t row = position % kKvBlockTokens;
    for (size_t d = 0; d < a.head_dim; d += 16) {
      F16x pair[2];
      load_rows(v, a.head_dim, row, d, pair);
      if (!finite(pair[row % 2])) return false;
    }
  }
  return true;
}

// The blocks of a chunk, positions [begin, end).
class ChunkBlocks {
 public:
  // last: room for the last block, where that is not full
  ChunkBlocks(const AttentionArgs& a, size_t begin, size_t end, uint32_t* last)
      : args_(a), first_(begin / kKvBlockTokens), count_((end - 1) / kKvBlockTokens + 1 - first_) {
    for (size_t b = 0; b < count_; ++b) values_[b] = cached_values(b);
    if (end % kKvBlockTokens == 0) return;
    copy_values(values_[count_ - 1], end % kKvBlockTokens, last);
    values_[count_ - 1] = reinterpret_cast<const uint16_t*>(last);
  }

  size_t count() const { return count_; }
  const uint16_t* keys(size_t b) const {
    return block_at<uint16_t>(args_, args_.k_blocks, first_ + b);
  }
  const uint16_t* values(size_t b) const { return values_[b]; }

 private:
  const uint16_t* cached_values(size_t b) const {
    return block_at<uint16_t>(args_, args_.v_blocks, first_ + b);
  }

  // The first `count` positions of a block, and zeros.
  void copy_values(const uint16_t* from, size_t count, uint32_t* to) const {
    for (size_t row = 0; row < kKvBlockTokens; row += 2) {
      const uint32_t mask = row + 1 < count ? ~0u : row < count ? 0xffffu : 0;
      const size_t at = row * args_.head_dim;
      for (size_t d = 0; d < args_.head_dim; ++d) {
        uint32_t word;
        __builtin_memcpy(&word, from + at + 2 * d, sizeof(word));
        to[at / 2 + d] = word & mask;
      }
    }
  }

  const AttentionArgs& args_;
  size_t first_, count_;
  const uint16_t* values_[kChunkBlocks];
};

// A tile of keys or values, rows `pitch` elements apart. ahead: what to ask for with it, or nullptr
template <int Tile>
inline void load_cached(const uint16_t* p, size_t pitch, ChunkAhead* ahead) {
  tile_load<Tile>(p, pitch * sizeof(uint16_t));
  if (ahead != nullptr) ahead->ask(2);  // half of what is read: see QueryRows::weigh()
}

}  // namespace
