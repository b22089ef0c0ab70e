#include "backend/cpu/cpu_linear.h"

#include <algorithm>
#include <cstddef>

#include "backend/cpu/share_out.h"

namespace bitcpm {
namespace {

const CpuWeight& cpu_weight(const LinearTarget& target) {
  return static_cast<const CpuWeight&>(*target.weight);
}

constexpr std::int64_t kBlockTokens = 64;  // that meet a panel while their inputs are cached

// A multiple of every weight's panel, and of what activations share a scale.
constexpr std::int64_t kGatedRows = kernels::kMostActGroup;

// The product of gate or up for rows [row, row + count) and tokens [token, token + tokens).
void block_product(const kernels::KernelTable& table, const CpuWeight& weight,
                   const CpuLinearInput& x, std::int64_t row, std::int64_t token,
                   std::int64_t tokens, float* out) {
  const std::int64_t panel_rows = weight.panel_rows();
  const auto first = static_cast<std::size_t>(row / panel_rows);
  const auto last =
      std::min(weight.panels(), static_cast<std::size_t>((row + kGatedRows) / panel_rows));
  // Kernels write row r of the matrix at column r: shifted, so that `row` comes first.
  weight.multiply(table, first, last, x, token, {out - row, tokens, weight.rows(), kGatedRows});
}

}  // namespace

void multiply(const kernels::KernelTable& table, ThreadPool& pool, const CpuLinearInput& x,
              std::span<const LinearTarget> targets) {
  std::size_t panels = 0;
  for (const LinearTarget& target : targets) panels += cpu_weight(target).panels();
  const std::int64_t tokens = targets.front().out.rows;
  // Panels [begin, end), numbered over all targets, by tokens [token, token + count).
  const auto multiply_panels = [&](std::size_t begin, std::size_t end, std::int64_t token,
                                   std::int64_t count) {
    std::size_t base = 0;  // of the current weight
    for (const LinearTarget& target : targets) {
      const CpuWeight& weight = cpu_weight(target);
      const std::size_t first = std::max(begin, base);
      const std::size_t last = std::min(end, base + weight.panels());
      const TensorView out = target.out.row_range(token, count);
      if (first < last) weight.multiply(table, first - base, last - base, x, token, out);
      base += weight.panels();
    }
  };
  // All panels by one block of tokens, then by the next.
  const auto multiply_units = [&](std::size_t begin, std::size_t end) {
    while (begin < end) {
      const std::size_t block = begin / panels;
      const std::size_t first = begin - block * panels;
      const std::size_t last = std::min(panels, first + (end - begin));
      const auto token = static_cast<std::int64_t>(block) * kBlockTokens;
      multiply_panels(first, last, token, std::min(kBlockTokens, tokens - token));
      begin += last - first;
    }
  };
  const auto blocks = static_cast<std::size_t>((tokens + kBlockTokens - 1) / kBlockTokens);
  share_tapered(pool, blocks * panels, multiply_units);
}

void multiply_gated(const kernels::KernelTable& table, ThreadPool& pool, const CpuLinearInput& x,
                    std::int64_t rows, const GatedWeights& weights, CpuLinearInput& out) {
  const std::int64_t width = weights.gate.rows();
  const auto blocks = static_cast<std::size_t>((width + kGatedRows - 1) / kGatedRows);
  share_tapered(pool, blocks, [&](std::size_t begin, std::size_t end) {
    alignas(64) float gate[kBlockTokens * kGatedRows];
    alignas(64) float up[kBlockTokens * kGatedRows];
    for (std::int64_t token = 0; token < rows; token += kBlockTokens) {
      const std::int64_t tokens = std::min(kBlockTokens, rows - token);
      for (std::size_t block = begin; block < end; ++block) {
        const std::int64_t row = static_cast<std::int64_t>(block) * kGatedRows;
        const std::int64_t count = std::min(kGatedRows, width - row);
        block_product(table, weights.gate, x, row, token, tokens, gate);
        block_product(table, weights.up, x, row, token, tokens, up);
        for (std::int64_t t = 0; t < tokens; ++t) {
          float* values = gate + t * kGatedRows;
          table.silu_mul(values, up + t * kGatedRows, static_cast<std::size_t>(count), values);
        }
        out.put(table, token, row, {gate, tokens, count, kGatedRows});
      }
    }
  });
}

}  // namespace bitcpm
