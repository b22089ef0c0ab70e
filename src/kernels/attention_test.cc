#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "kernels/dispatch.h"
#include "kernels/guarded_array.h"
#include "kernels/table.h"

namespace bitcpm::kernels {
namespace {

struct Case {
  std::size_t tokens, heads, head_dim, context;  // context of the first token
};

std::uint16_t bf16_bits(float value) {  // cut, not rounded: which of the two does not matter here
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<std::uint16_t>(bits >> 16);
}

float bf16_value(std::uint16_t bits) {
  const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

float nearest_bf16(float value) {  // ties, which no test needs, away from zero
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bf16_value(static_cast<std::uint16_t>((bits + 0x8000) >> 16));
}

// One head's keys or values in blocks, as the cache of one type has them. Slots without a position
// hold NaN, or codes with a NaN for a scale.
class TestCache {
 public:
  TestCache(KvType type, std::size_t head_dim, std::size_t blocks)
      : type_(type), head_dim_(head_dim), groups_((head_dim + kKvGroupDims - 1) / kKvGroupDims) {
    bytes_.assign(blocks * 2 * half(), std::byte{0xff});  // a NaN in all three
  }

  std::size_t half() const {
    const std::size_t elements = head_dim_ * kKvBlockTokens;
    if (type_ == KvType::kFloat32) return 4 * elements;
    if (type_ == KvType::kBfloat16) return 2 * elements;
    return elements + 2 * groups_ * kKvBlockTokens;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

  // Stores dimension d of position `slot` as well as the type can, and returns what it holds.
  float put(bool is_value, std::size_t block, std::size_t slot, std::size_t d, float value) {
    std::byte* base = bytes_.data() + (2 * block + (is_value ? 1 : 0)) * half();
    const std::size_t at = is_value ? kv_element(type_, head_dim_, slot, d)
                                    : kv_element(type_, kKvBlockTokens, d, slot);
    if (type_ == KvType::kFloat32) {
      std::memcpy(base + 4 * at, &value, 4);
      return value;
    }
    if (type_ == KvType::kBfloat16) {
      const std::uint16_t bits = bf16_bits(value);
      std::memcpy(base + 2 * at, &bits, 2);
      return bf16_value(bits);
    }
    const std::size_t group = d / kKvGroupDims;
    const std::uint16_t scale = bf16_bits(0.01f * static_cast<float>(1 + slot + 7 * group));
    const float code = std::clamp(std::nearbyint(value / bf16_value(scale)), -127.0f, 127.0f);
    base[at] = static_cast<std::byte>(static_cast<std::int8_t>(code));
    std::memcpy(base + head_dim_ * kKvBlockTokens + 2 * (group * kKvBlockTokens + slot), &scale, 2);
    return code * bf16_value(scale);
  }

 private:
  KvType type_;
  std::size_t head_dim_, groups_;
  std::vector<std::byte> bytes_;
};

// One sequence's cache in shuffled blocks, and its queries.
struct Problem {
  Case c;
  KvType type;
  std::size_t positions, blocks;
  std::vector<float> keys, values, queries;
  TestCache cache;
  std::vector<std::int32_t> ids;

  Problem(const Case& shape, KvType kv_type)
      : c(shape),
        type(kv_type),
        positions(c.context + c.tokens - 1),
        blocks((positions + kKvBlockTokens - 1) / kKvBlockTokens),
        cache(type, c.head_dim, blocks) {
    std::mt19937 rng(static_cast<unsigned>(17 * positions + c.heads));
    std::normal_distribution<float> normal(0, 1);
    const auto draw = [&](std::size_t count, float size) {
      std::vector<float> out(count);
      for (float& v : out) v = size * normal(rng);
      return out;
    };
    keys = draw(positions * c.head_dim, 2);
    values = draw(positions * c.head_dim, 1);
    queries = draw(c.tokens * c.heads * c.head_dim, 1);
    for (std::size_t b = 0; b < blocks; ++b)
      ids.push_back(static_cast<std::int32_t>(blocks - 1 - b));
    for (std::size_t p = 0; p < positions; ++p) {
      const auto block = static_cast<std::size_t>(ids[p / kKvBlockTokens]);
      for (std::size_t d = 0; d < c.head_dim; ++d) {
        for (std::vector<float>* side : {&keys, &values}) {
          float& value = (*side)[p * c.head_dim + d];
          value = cache.put(side == &values, block, p % kKvBlockTokens, d, value);
        }
      }
    }
  }

  double score(std::size_t token, std::size_t head, std::size_t position) const {
    double dot = 0;
    for (std::size_t d = 0; d < c.head_dim; ++d) {
      const float q = queries[(token * c.heads + head) * c.head_dim + d];
      dot += static_cast<double>(type == KvType::kBfloat16 ? nearest_bf16(q) : q) *
             keys[position * c.head_dim + d];
    }
    return 0.125 * dot;  // a power of two: it does not matter whether it comes before the rounding
  }

  // Makes dimension d of the value, or the key, of `position` what `value` is.
  void spoil(bool is_value, std::size_t position, std::size_t d, float value) {
    cache.put(is_value, static_cast<std::size_t>(ids[position / kKvBlockTokens]),
              position % kKvBlockTokens, d, value);
  }

  // softmax(scores) V of one row, in f64.
  std::vector<double> row(std::size_t token, std::size_t head) const {
    std::vector<double> out(c.head_dim, 0);
    double sum = 0;
    for (std::size_t p = 0; p < c.context + token; ++p) {
      const double weight = std::exp(score(token, head, p));
      sum += weight;
      for (std::size_t d = 0; d < c.head_dim; ++d) out[d] += weight * values[p * c.head_dim + d];
    }
    for (double& v : out) v /= sum;
    return out;
  }

  // Tokens [first, first + count) by one level's kernels, on guarded operands.
  std::vector<float> run(const KernelTable& table, std::size_t first, std::size_t count) const {
    const std::size_t width = c.heads * c.head_dim;
    const std::size_t rows = count * c.heads;
    GuardedArray<std::byte> kv(cache.bytes());
    GuardedArray<float> q(queries);
    const std::size_t part_count = (c.context + first + count - 2) / kAttentionSplit + 1;
    std::vector<std::unique_ptr<GuardedArray<float>>> memory;
    std::vector<AttentionPart> parts;
    for (std::size_t i = 0; i < part_count; ++i) {
      const auto take = [&](std::size_t size) {
        memory.push_back(std::make_unique<GuardedArray<float>>(std::vector<float>(size, NAN)));
        return memory.back()->data();
      };
      float* part_out = take(rows * c.head_dim);
      float* part_max = take(rows);
      parts.push_back({part_out, part_max, take(rows)});
      table.attention[static_cast<std::size_t>(type)]({.q = q.data() + first * width,
                                                       .ldq = width,
                                                       .tokens = count,
                                                       .heads = c.heads,
                                                       .head_dim = c.head_dim,
                                                       .k_blocks = kv.data(),
                                                       .v_blocks = kv.data() + cache.half(),
                                                       .block_stride = 2 * cache.half(),
                                                       .head_bytes = cache.half(),
                                                       .block_ids = ids.data(),
                                                       .context = c.context + first,
                                                       .scale = 0.125f},
                                                      i * kAttentionSplit, parts.back());
    }
    GuardedArray<float> out(std::vector<float>(rows * c.head_dim, 9.0f));
    for (std::size_t r = 0; r < rows; ++r) {
      table.merge_attention(parts.data(), part_count, r, c.head_dim, out.data() + r * c.head_dim);
    }
    return out.values();
  }
};

constexpr Case kCases[] = {
    {1, 1, 16, 1},    {1, 2, 64, 31},     {1, 8, 64, 32},    {1, 8, 64, 33},    {1, 16, 128, 100},
    {1, 70, 16, 65},  {1, 3, 48, 500},    {1, 8, 64, 1024},  {1, 8, 64, 1025},  {1, 8, 256, 2100},
    {5, 8, 64, 1},    {16, 8, 64, 120},   {33, 2, 64, 1},    {7, 3, 80, 127},   {40, 2, 32, 1000},
    {9, 5, 64, 2040}, {20, 4, 128, 1010}, {64, 2, 96, 2030}, {9, 8, 256, 1020}, {80, 1, 64, 960},
};

std::vector<std::pair<Case, KvType>> cases() {
  std::vector<std::pair<Case, KvType>> all;
  for (const KvType type : {KvType::kFloat32, KvType::kBfloat16, KvType::kInt8}) {
    for (const Case& c : kCases) all.emplace_back(c, type);
  }
  return all;
}

// Protects: attention over parts agrees on every level, equals a plain f64 softmax, finds its
// blocks through the table, and never lets a stale slot in, not even one that holds a NaN.
TEST(Attention, EveryIsaEqualsScalar) {
  const CpuFeatures cpu = detect_cpu_features();
  for (const auto& [c, type] : cases()) {
    const Problem problem(c, type);
    std::vector<float> want;
    for (const std::string& level : runnable_levels(cpu)) {
      const std::vector<float> got =
          problem.run(make_kernel_table(cpu, level).value(), 0, c.tokens);
      if (want.empty()) {
        want = got;
        // Weights of bf16 are off by up to 2^-9 of themselves, and so are their values' sums.
        const double tolerance = type == KvType::kBfloat16 ? 6e-3 : 3e-5;
        for (const std::size_t t : {std::size_t{0}, c.tokens / 2, c.tokens - 1}) {
          for (std::size_t h = 0; h < c.heads; ++h) {
            const std::vector<double> exact = problem.row(t, h);
            for (std::size_t d = 0; d < c.head_dim; ++d) {
              EXPECT_NEAR(want[(t * c.heads + h) * c.head_dim + d], exact[d], tolerance);
            }
          }
        }
      }
      EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0)
          << level << ", type " << static_cast<int>(type) << ": " << c.tokens << " tokens, "
          << c.heads << " heads of " << c.head_dim << ", context " << c.context;
    }
  }
}

// Protects: a token's attention is the same bits alone as in a tile with its neighbours.
TEST(Attention, TilesDoNotShow) {
  const CpuFeatures cpu = detect_cpu_features();
  for (const auto& [c, type] : cases()) {
    if (c.tokens == 1) continue;
    const Problem problem(c, type);
    for (const std::string& level : runnable_levels(cpu)) {
      const KernelTable table = make_kernel_table(cpu, level).value();
      const std::vector<float> whole = problem.run(table, 0, c.tokens);
      for (std::size_t t = 0; t < c.tokens; ++t) {
        const std::vector<float> alone = problem.run(table, t, 1);
        EXPECT_EQ(std::memcmp(whole.data() + t * alone.size(), alone.data(), 4 * alone.size()), 0)
            << level << ": token " << t << " of " << c.tokens << ", context " << c.context;
      }
    }
  }
}

// Protects: what a later position holds, a NaN or an infinity even, is nothing to an earlier token,
// also where tiles multiply whole blocks; those that see it are not finite.
TEST(Attention, LaterPositionsDoNotShow) {
  const CpuFeatures cpu = detect_cpu_features();
  for (const KvType type : {KvType::kFloat32, KvType::kBfloat16}) {
    for (const Case& c : {Case{8, 8, 64, 120}, Case{5, 8, 96, 150}, Case{3, 4, 32, 1023}}) {
      const Problem problem(c, type);
      const std::size_t width = c.heads * c.head_dim;
      for (const std::string& level : runnable_levels(cpu)) {
        const KernelTable table = make_kernel_table(cpu, level).value();
        const std::vector<float> want = problem.run(table, 0, c.tokens);
        for (std::size_t i = 0; i < 4 * c.tokens; ++i) {
          const std::size_t token = i % c.tokens;  // the first to see the position
          const bool is_value = i / c.tokens % 2 == 0;
          const std::size_t d = i % 3 * (c.head_dim - 1) / 2;
          Problem spoilt = problem;
          spoilt.spoil(is_value, c.context + token - 1, d, i < 2 * c.tokens ? NAN : INFINITY);
          const std::vector<float> got = spoilt.run(table, 0, c.tokens);
          EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * token * width), 0)
              << level << ", type " << static_cast<int>(type) << ", context " << c.context
              << (is_value ? ", value " : ", key ") << token << ", dimension " << d;
          if (!is_value) continue;
          EXPECT_FALSE(std::isfinite(got[token * width + d]));
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm::kernels
