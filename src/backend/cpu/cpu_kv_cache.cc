#include "backend/cpu/cpu_kv_cache.h"

#include <string>
#include <utility>

#include "kernels/table.h"

namespace bitcpm {

Result<std::unique_ptr<KvCache>> CpuKvCache::allocate(const KvShape& shape,
                                                      std::int32_t num_blocks) {
  BITCPM_CHECK(num_blocks >= 0);
  std::unique_ptr<CpuKvCache> cache(new CpuKvCache);
  cache->shape_ = shape;
  cache->num_blocks_ = num_blocks;
  const std::size_t bytes = sizeof(float) * cache->block_stride() *
                            static_cast<std::size_t>(num_blocks) *
                            static_cast<std::size_t>(shape.num_layers);
  cache->buffer_ = Buffer::allocate(bytes);
  if (cache->buffer_.size() != bytes) {
    return Error{Errc::kExhausted,
                 "no memory for a KV cache of " + std::to_string(bytes) + " bytes"};
  }
  return std::unique_ptr<KvCache>(std::move(cache));
}

std::size_t CpuKvCache::head_offset(std::int32_t kv_head) const {
  return static_cast<std::size_t>(kv_head) * static_cast<std::size_t>(shape_.head_dim) *
         kernels::kKvBlockTokens;
}

std::size_t CpuKvCache::half_block() const { return head_offset(shape_.num_key_value_heads); }

float* CpuKvCache::layer_data(std::int32_t layer) {
  return buffer_.as<float>() +
         static_cast<std::size_t>(layer) * static_cast<std::size_t>(num_blocks_) * block_stride();
}

}  // namespace bitcpm
