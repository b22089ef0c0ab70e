#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace bitcpm {

// How the elements of a KV cache are kept. bfloat16: rounded to nearest, ties to even. int8: codes
// with a bf16 scale per position, head and 32 dimensions. Attention multiplies f32,
// or bf16 where the cache is, and adds f32.
enum class KvCacheDtype : std::uint8_t { kFloat32, kBfloat16, kInt8 };

std::string_view kv_cache_dtype_name(KvCacheDtype dtype);  // "float32", "bfloat16", "int8"

constexpr std::int32_t kMaxHeadDim = 256;  // that every backend's attention takes

struct KvShape {
  std::int32_t num_layers = 0;
  std::int32_t num_key_value_heads = 0;
  std::int32_t head_dim = 0;
  KvCacheDtype dtype = KvCacheDtype::kFloat32;
};

// Bytes of one head's keys or values at one position, scales included.
std::size_t kv_head_bytes(KvCacheDtype dtype, std::int32_t head_dim);

// Bytes per position of context: keys and values of all layers.
std::size_t kv_bytes_per_token(const KvShape& shape);

}  // namespace bitcpm
