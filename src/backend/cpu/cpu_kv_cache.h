#pragma once

#include <cstddef>
#include <memory>

#include "backend/backend.h"
#include "kernels/attention_args.h"

namespace bitcpm {

// Layer by layer, block by block: keys [kv heads], then values [kv heads], each as
// kernels::AttentionArgs has them. Keys are transposed so that 16 positions sit in one vector.
class CpuKvCache final : public KvCache {
 public:
  // Errors: kExhausted (no memory).
  static Result<std::unique_ptr<KvCache>> allocate(const KvShape& shape, std::int32_t num_blocks);

  std::int32_t num_blocks() const override { return num_blocks_; }
  std::size_t bytes() const override { return buffer_.size(); }

  const KvShape& shape() const { return shape_; }
  kernels::KvType type() const { return static_cast<kernels::KvType>(shape_.dtype); }
  std::size_t block_stride() const { return 2 * half_block(); }  // bytes from block to block
  std::size_t head_bytes() const { return head_offset(1); }      // of a block's keys, or values
  const std::byte* keys(std::int32_t layer, std::int32_t kv_head) const {
    return layer_data(layer) + head_offset(kv_head);
  }
  const std::byte* values(std::int32_t layer, std::int32_t kv_head) const {
    return layer_data(layer) + half_block() + head_offset(kv_head);
  }

  // Writes one position's keys and values of all heads, [kv heads * head_dim] each, into slot
  // `slot` of `block`. Slots may be written from several threads.
  void write(std::int32_t layer, std::int32_t block, std::size_t slot, const float* k,
             const float* v);

 private:
  CpuKvCache() = default;

  std::size_t head_offset(std::int32_t kv_head) const;
  std::size_t half_block() const;  // bytes of one block's keys
  std::byte* layer_data(std::int32_t layer);
  const std::byte* layer_data(std::int32_t layer) const {
    return const_cast<CpuKvCache*>(this)->layer_data(layer);
  }

  KvShape shape_;
  std::int32_t num_blocks_ = 0;
  Buffer buffer_;
};

}  // namespace bitcpm
