#include <gtest/gtest.h>

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

// One sequence's cache in shuffled blocks, and its queries. Slots without a position hold NaN.
struct Problem {
  Case c;
  std::size_t positions, half;
  std::vector<float> keys, values, queries, cache;
  std::vector<std::int32_t> ids;

  explicit Problem(const Case& shape) : c(shape), positions(c.context + c.tokens - 1) {
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
    const std::size_t blocks = (positions + kKvBlockTokens - 1) / kKvBlockTokens;
    half = c.head_dim * kKvBlockTokens;
    cache.assign(blocks * 2 * half, std::nanf(""));
    for (std::size_t b = 0; b < blocks; ++b)
      ids.push_back(static_cast<std::int32_t>(blocks - 1 - b));
    for (std::size_t p = 0; p < positions; ++p) {
      float* block = cache.data() + static_cast<std::size_t>(ids[p / kKvBlockTokens]) * 2 * half;
      for (std::size_t d = 0; d < c.head_dim; ++d) {
        block[d * kKvBlockTokens + p % kKvBlockTokens] = keys[p * c.head_dim + d];
        block[half + p % kKvBlockTokens * c.head_dim + d] = values[p * c.head_dim + d];
      }
    }
  }

  double score(std::size_t token, std::size_t head, std::size_t position) const {
    double dot = 0;
    for (std::size_t d = 0; d < c.head_dim; ++d) {
      dot += static_cast<double>(queries[(token * c.heads + head) * c.head_dim + d]) *
             keys[position * c.head_dim + d];
    }
    return 0.125 * dot;
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
    GuardedArray<float> kv(cache);
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
      table.attention({.q = q.data() + first * width,
                       .ldq = width,
                       .tokens = count,
                       .heads = c.heads,
                       .head_dim = c.head_dim,
                       .k_blocks = kv.data(),
                       .v_blocks = kv.data() + half,
                       .block_stride = 2 * half,
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
    {1, 1, 16, 1},     {1, 2, 64, 31},    {1, 8, 64, 32},    {1, 8, 64, 33},
    {1, 16, 128, 100}, {1, 70, 16, 65},   {1, 3, 48, 500},   {1, 8, 64, 1024},
    {1, 8, 64, 1025},  {1, 8, 256, 2100}, {5, 8, 64, 1},     {16, 8, 64, 120},
    {33, 2, 64, 1},    {7, 3, 80, 127},   {40, 2, 32, 1000}, {9, 5, 64, 2040},
};

// Protects: attention over parts agrees on every level, equals a plain f64 softmax, finds its
// blocks through the table, and never lets a stale slot in, not even one that holds a NaN.
TEST(Attention, EveryIsaEqualsScalar) {
  const CpuFeatures cpu = detect_cpu_features();
  for (const Case& c : kCases) {
    const Problem problem(c);
    std::vector<float> want;
    for (const std::string& level : runnable_levels(cpu)) {
      const std::vector<float> got =
          problem.run(make_kernel_table(cpu, level).value(), 0, c.tokens);
      if (want.empty()) {
        want = got;
        for (const std::size_t t : {std::size_t{0}, c.tokens / 2, c.tokens - 1}) {
          for (std::size_t h = 0; h < c.heads; ++h) {
            const std::vector<double> exact = problem.row(t, h);
            for (std::size_t d = 0; d < c.head_dim; ++d) {
              EXPECT_NEAR(want[(t * c.heads + h) * c.head_dim + d], exact[d], 3e-5);
            }
          }
        }
      }
      EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0)
          << level << ": " << c.tokens << " tokens, " << c.heads << " heads of " << c.head_dim
          << ", context " << c.context;
    }
  }
}

// Protects: a token's attention is the same bits alone as in a tile with its neighbours.
TEST(Attention, TilesDoNotShow) {
  const CpuFeatures cpu = detect_cpu_features();
  for (const Case& c : kCases) {
    if (c.tokens == 1) continue;
    const Problem problem(c);
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

}  // namespace
}  // namespace bitcpm::kernels
