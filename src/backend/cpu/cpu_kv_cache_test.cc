#include "backend/cpu/cpu_kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace bitcpm {
namespace {

using kernels::kKvBlockTokens;

float bf16_at(const std::byte* bytes, std::size_t index) {
  std::uint16_t half;
  std::memcpy(&half, bytes + 2 * index, 2);
  const std::uint32_t word = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

// Dimension d of one slot of one head's block, as attention reads it.
float read(const KvShape& shape, const std::byte* block, bool is_value, std::size_t slot,
           std::size_t d) {
  const auto dims = static_cast<std::size_t>(shape.head_dim);
  const auto type = static_cast<kernels::KvType>(shape.dtype);
  const std::size_t at = is_value ? kernels::kv_element(type, dims, slot, d)
                                  : kernels::kv_element(type, kKvBlockTokens, d, slot);
  if (shape.dtype == KvCacheDtype::kBfloat16) return bf16_at(block, at);
  if (shape.dtype == KvCacheDtype::kInt8) {
    const float scale = bf16_at(block + dims * kKvBlockTokens, d / 32 * kKvBlockTokens + slot);
    return scale * static_cast<float>(static_cast<std::int8_t>(block[at]));
  }
  float value;
  std::memcpy(&value, block + 4 * at, 4);
  return value;
}

// Protects: every element comes back from its own slot, head, layer and block, within half a step
// of its type: 2^-8 of itself for bf16, and for int8 half of (largest of 32, rounded up to bf16)
// / 127.
TEST(CpuKvCache, KeepsWhatWasWritten) {
  for (const KvCacheDtype dtype :
       {KvCacheDtype::kFloat32, KvCacheDtype::kBfloat16, KvCacheDtype::kInt8}) {
    for (const std::int32_t head_dim : {16, 48, 64}) {
      const KvShape shape{2, 3, head_dim, dtype};
      auto cache = CpuKvCache::allocate(shape, 4).value();
      auto& kv = static_cast<CpuKvCache&>(*cache);
      EXPECT_EQ(kv.bytes(), 4 * kKvBlockTokens * kv_bytes_per_token(shape));
      const auto dims = static_cast<std::size_t>(head_dim);
      std::mt19937 rng(7);
      std::normal_distribution<float> normal(0, 3);
      std::vector<float> k(3 * dims), v(3 * dims);
      std::vector<std::vector<float>> written;
      for (std::int32_t layer = 0; layer < 2; ++layer) {
        for (std::int32_t block = 0; block < 4; ++block) {
          for (std::size_t slot = 0; slot < kKvBlockTokens; ++slot) {
            for (float& x : k) x = normal(rng);
            for (float& x : v) x = normal(rng);
            kv.write(layer, block, slot, k.data(), v.data());
            written.push_back(k);
            written.push_back(v);
          }
        }
      }
      auto want = written.begin();
      for (std::int32_t layer = 0; layer < 2; ++layer) {
        for (std::int32_t block = 0; block < 4; ++block) {
          const std::size_t base = static_cast<std::size_t>(block) * kv.block_stride();
          for (std::size_t slot = 0; slot < kKvBlockTokens; ++slot) {
            for (const bool is_value : {false, true}) {
              for (std::size_t i = 0; i < 3 * dims; ++i) {
                const auto head = static_cast<std::int32_t>(i / dims);
                const std::byte* at = is_value ? kv.values(layer, head) : kv.keys(layer, head);
                const float got = read(shape, at + base, is_value, slot, i % dims);
                const float x = (*want)[i];
                float step = 0;
                if (dtype == KvCacheDtype::kBfloat16) step = std::fabs(x) / 128;
                if (dtype == KvCacheDtype::kInt8) {
                  const std::size_t group = i / dims * dims + i % dims / 32 * 32;
                  const std::size_t end = std::min(group + 32, (i / dims + 1) * dims);
                  for (std::size_t j = group; j < end; ++j) {
                    step = std::max(step, std::fabs((*want)[j]) / 127 * (1 + 1.0f / 128));
                  }
                }
                ASSERT_NEAR(got, x, step / 2 * 1.001f) << static_cast<int>(dtype);
              }
              ++want;
            }
          }
        }
      }
    }
  }
}

// Protects: values that have no code, and groups of nothing but zeros, neither trap nor spread.
TEST(CpuKvCache, OddValues) {
  const KvShape shape{1, 1, 64, KvCacheDtype::kInt8};
  auto cache = CpuKvCache::allocate(shape, 1).value();
  auto& kv = static_cast<CpuKvCache&>(*cache);
  std::vector<float> k(64, 0), v(64, 1);
  k[3] = std::numeric_limits<float>::infinity();
  k[40] = std::numeric_limits<float>::quiet_NaN();
  v[5] = 1e-44f;
  kv.write(0, 0, 1, k.data(), v.data());
  k.assign(64, 0);
  kv.write(0, 0, 2, k.data(), v.data());
  EXPECT_EQ(read(shape, kv.keys(0, 0), false, 2, 7), 0);
  EXPECT_NEAR(read(shape, kv.values(0, 0), true, 1, 5), 0, 1e-6);
  EXPECT_NEAR(read(shape, kv.values(0, 0), true, 1, 6), 1, 0.5 / 127);
}

}  // namespace
}  // namespace bitcpm
