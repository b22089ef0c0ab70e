#include "backend/cpu/cpu_linear.h"

#include <algorithm>
#include <cstddef>

#include "backend/cpu/share_out.h"
#include "tensor/row_stride.h"

namespace bitcpm {
namespace {

const CpuWeight& cpu_weight(const LinearTarget& target) {
  return static_cast<const CpuWeight&>(*target.weight);
}

constexpr std::int64_t kBlockTokens = 64;  // that meet a panel while their inputs are cached

// A multiple of every weight's panel, and of what activations share a scale.
constexpr std::int64_t kGatedRows = kernels::kMostActGroup;

// Columns of gate and up, [tokens][width], that are multiplied before what they make is quantised.
struct GatedPiece {
  std::int64_t row;  // of the weights; a multiple of kGatedRows
  std::int64_t width;
  std::int64_t token;
  std::int64_t tokens;

  std::int64_t stride() const { return row_stride(width); }
};

void piece_product(const kernels::KernelTable& table, const CpuWeight& weight,
                   const CpuLinearInput& x, const GatedPiece& piece, float* out) {
  const std::int64_t panel_rows = weight.panel_rows();
  const auto first = static_cast<std::size_t>(piece.row / panel_rows);
  const auto last =
      static_cast<std::size_t>((piece.row + piece.width + panel_rows - 1) / panel_rows);
  // Kernels write row r of the matrix at column r: shifted, so that the first comes first.
  weight.multiply(table, first, last, x, piece.token,
                  {out - piece.row, piece.tokens, weight.rows(), piece.stride()});
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
    alignas(64) float gate[kBlockTokens * row_stride(kGatedRows)];
    alignas(64) float up[kBlockTokens * row_stride(kGatedRows)];
    const std::int64_t last = std::min(width, static_cast<std::int64_t>(end) * kGatedRows);
    for (std::int64_t token = 0; token < rows; token += kBlockTokens) {
      GatedPiece piece{static_cast<std::int64_t>(begin) * kGatedRows, 0, token,
                       std::min(kBlockTokens, rows - token)};
      // The fewer tokens, the more columns, as many as the floats have room for: a call has its
      // price, and the scales of sixteen groups are found for that of one (kernels/shared).
      const std::int64_t most = kBlockTokens / piece.tokens * kGatedRows;
      for (; piece.row < last; piece.row += piece.width) {
        piece.width = std::min(most, last - piece.row);
        piece_product(table, weights.gate, x, piece, gate);
        piece_product(table, weights.up, x, piece, up);
        for (std::int64_t t = 0; t < piece.tokens; ++t) {
          float* values = gate + t * piece.stride();
          table.silu_mul(values, up + t * piece.stride(), static_cast<std::size_t>(piece.width),
                         values);
        }
        out.put(table, token, piece.row, {gate, piece.tokens, piece.width, piece.stride()});
      }
    }
  });
}

}  // namespace bitcpm
