#include "backend/cpu/cpu_kv_cache.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "base/dtype.h"

namespace bitcpm {
namespace {

using kernels::kKvBlockTokens;
using kernels::kKvGroupDims;
using kernels::kv_element;
using kernels::KvType;

static_assert(kMaxHeadDim == kernels::kMaxHeadDim);
static_assert(static_cast<int>(KvCacheDtype::kFloat32) == static_cast<int>(KvType::kFloat32));
static_assert(static_cast<int>(KvCacheDtype::kBfloat16) == static_cast<int>(KvType::kBfloat16));
static_assert(static_cast<int>(KvCacheDtype::kInt8) == static_cast<int>(KvType::kInt8));

// The elements of one head at one position go to elements[at(d)].
template <class At>
void put(const float* x, std::size_t head_dim, std::size_t, float* elements, const At& at) {
  for (std::size_t d = 0; d < head_dim; ++d) elements[at(d)] = x[d];
}

template <class At>
void put(const float* x, std::size_t head_dim, std::size_t, std::uint16_t* elements, const At& at) {
  std::uint16_t near[kernels::kMaxHeadDim];  // the rounding takes vectors, the places do not
  for (std::size_t d = 0; d < head_dim; ++d) near[d] = bf16_from_f32(x[d]);
  for (std::size_t d = 0; d < head_dim; ++d) elements[at(d)] = near[d];
}

// scale = largest / 127 as bf16, rounded up; code = x / scale to nearest, ties to even.
template <class At>
void put(const float* x, std::size_t head_dim, std::size_t slot, std::int8_t* elements,
         const At& at) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  auto* scales = reinterpret_cast<std::uint16_t*>(elements + head_dim * kKvBlockTokens) + slot;
  for (std::size_t begin = 0; begin < head_dim; begin += kKvGroupDims, scales += kKvBlockTokens) {
    const std::size_t end = std::min(begin + kKvGroupDims, head_dim);
    float largest = 0;
    for (std::size_t d = begin; d < end; ++d) largest = std::max(largest, std::fabs(x[d]));
    *scales = bf16_at_least(largest / 127);  // up: no code exceeds its range
    const float value = bf16_to_f32(*scales);
    const float inverse = value > 0 ? 1 / value : 0;
    for (std::size_t d = begin; d < end; ++d) {
      const auto rounded = std::bit_cast<std::uint32_t>(x[d] * inverse + kMagic);
      elements[at(d)] = static_cast<std::int8_t>(rounded & 0xff);
    }
  }
}

template <KvType Type, class Element>
void write_head(const float* k, const float* v, std::size_t head_dim, std::byte* keys,
                std::byte* values, std::size_t slot) {
  put(k, head_dim, slot, reinterpret_cast<Element*>(keys),
      [&](std::size_t d) { return kv_element(Type, kKvBlockTokens, d, slot); });
  put(v, head_dim, slot, reinterpret_cast<Element*>(values),
      [&](std::size_t d) { return kv_element(Type, head_dim, slot, d); });
}

}  // namespace

Result<std::unique_ptr<KvCache>> CpuKvCache::allocate(const KvShape& shape,
                                                      std::int32_t num_blocks) {
  BITCPM_CHECK(num_blocks >= 0 && shape.head_dim <= kMaxHeadDim);
  std::unique_ptr<CpuKvCache> cache(new CpuKvCache);
  cache->shape_ = shape;
  cache->num_blocks_ = num_blocks;
  const std::size_t bytes = cache->block_stride() * static_cast<std::size_t>(num_blocks) *
                            static_cast<std::size_t>(shape.num_layers);
  cache->buffer_ = Buffer::allocate(bytes);
  if (cache->buffer_.size() != bytes) {
    return Error{Errc::kExhausted,
                 "no memory for a KV cache of " + std::to_string(bytes) + " bytes"};
  }
  return std::unique_ptr<KvCache>(std::move(cache));
}

void CpuKvCache::write(std::int32_t layer, std::int32_t block, std::size_t slot, const float* k,
                       const float* v) {
  const auto head_dim = static_cast<std::size_t>(shape_.head_dim);
  const std::size_t base = static_cast<std::size_t>(block) * block_stride();
  for (std::int32_t head = 0; head < shape_.num_key_value_heads; ++head) {
    std::byte* keys = layer_data(layer) + base + head_offset(head);
    std::byte* values = keys + half_block();
    switch (shape_.dtype) {
      case KvCacheDtype::kFloat32:
        write_head<KvType::kFloat32, float>(k, v, head_dim, keys, values, slot);
        break;
      case KvCacheDtype::kBfloat16:
        write_head<KvType::kBfloat16, std::uint16_t>(k, v, head_dim, keys, values, slot);
        break;
      case KvCacheDtype::kInt8:
        write_head<KvType::kInt8, std::int8_t>(k, v, head_dim, keys, values, slot);
        break;
    }
    k += head_dim;
    v += head_dim;
  }
}

std::size_t CpuKvCache::head_offset(std::int32_t kv_head) const {
  return static_cast<std::size_t>(kv_head) * kv_head_bytes(shape_.dtype, shape_.head_dim) *
         kKvBlockTokens;
}

std::size_t CpuKvCache::half_block() const { return head_offset(shape_.num_key_value_heads); }

std::byte* CpuKvCache::layer_data(std::int32_t layer) {
  return buffer_.as<std::byte>() +
         static_cast<std::size_t>(layer) * static_cast<std::size_t>(num_blocks_) * block_stride();
}

}  // namespace bitcpm
