#pragma once

#include <cstddef>
#include <memory>

#include "backend/backend.h"

namespace bitcpm {

// Layer by layer, block by block: keys [kv heads][head_dim][32], then values [kv heads][32]
// [head_dim], f32. Keys are transposed so that 16 positions sit in one vector.
class CpuKvCache final : public KvCache {
 public:
  // Errors: kExhausted (no memory).
  static Result<std::unique_ptr<KvCache>> allocate(const KvShape& shape, std::int32_t num_blocks);

  std::int32_t num_blocks() const override { return num_blocks_; }
  std::size_t bytes() const override { return buffer_.size(); }

  const KvShape& shape() const { return shape_; }
  std::size_t block_stride() const { return 2 * half_block(); }  // floats from block to block
  float* keys(std::int32_t layer, std::int32_t kv_head) {
    return layer_data(layer) + head_offset(kv_head);
  }
  float* values(std::int32_t layer, std::int32_t kv_head) {
    return layer_data(layer) + half_block() + head_offset(kv_head);
  }
  const float* keys(std::int32_t layer, std::int32_t kv_head) const {
    return const_cast<CpuKvCache*>(this)->keys(layer, kv_head);
  }
  const float* values(std::int32_t layer, std::int32_t kv_head) const {
    return const_cast<CpuKvCache*>(this)->values(layer, kv_head);
  }

 private:
  CpuKvCache() = default;

  std::size_t head_offset(std::int32_t kv_head) const;
  std::size_t half_block() const;  // floats of one block's keys
  float* layer_data(std::int32_t layer);

  KvShape shape_;
  std::int32_t num_blocks_ = 0;
  Buffer buffer_;
};

}  // namespace bitcpm
