#include "backend/kv_shape.h"

namespace bitcpm {

std::string_view kv_cache_dtype_name(KvCacheDtype dtype) {
  switch (dtype) {
    case KvCacheDtype::kFloat32:
      return "float32";
    case KvCacheDtype::kBfloat16:
      return "bfloat16";
    case KvCacheDtype::kInt8:
      return "int8";
  }
  return {};
}

std::size_t kv_head_bytes(KvCacheDtype dtype, std::int32_t head_dim) {
  constexpr std::size_t kScaledDims = 32;
  const auto dims = static_cast<std::size_t>(head_dim);
  switch (dtype) {
    case KvCacheDtype::kFloat32:
      return 4 * dims;
    case KvCacheDtype::kBfloat16:
      return 2 * dims;
    case KvCacheDtype::kInt8:
      return dims + 2 * ((dims + kScaledDims - 1) / kScaledDims);
  }
  return 0;
}

std::size_t kv_bytes_per_token(const KvShape& shape) {
  return 2 * kv_head_bytes(shape.dtype, shape.head_dim) *
         static_cast<std::size_t>(shape.num_layers) *
         static_cast<std::size_t>(shape.num_key_value_heads);
}

}  // namespace bitcpm
