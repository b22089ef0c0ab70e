#include "tensor/ternary_codec.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>
#include <vector>

namespace bitcpm {
namespace {

constexpr std::int64_t kFinestGroup = 32;
constexpr std::uint32_t kMagnitude = 0x7fffffffu;
constexpr std::uint32_t kInfinity = 0x7f800000u;
constexpr std::size_t kRowsPerTask = 64;

// Candidates as {cols, the powers of two times 32 that divide cols, descending}. Each divides the
// one before it or, after cols, halves it; so the finest that a row needs settles that row.
std::vector<std::int64_t> candidate_groups(std::int64_t cols) {
  std::vector<std::int64_t> groups;
  for (std::int64_t group = kFinestGroup; group < cols && cols % group == 0; group *= 2) {
    groups.push_back(group);
  }
  groups.push_back(cols);
  std::reverse(groups.begin(), groups.end());
  return groups;
}

void widen_row(const StoredMatrix& source, std::int64_t row, std::span<float> out) {
  const std::size_t width = dtype_bytes(source.dtype);
  const std::byte* in = source.bytes.data() + static_cast<std::size_t>(row * source.cols) * width;
  if (source.dtype == DType::kF32) {
    std::memcpy(out.data(), in, out.size_bytes());
    return;
  }
  const bool is_bf16 = source.dtype == DType::kBf16;
  for (std::size_t k = 0; k < out.size(); ++k) {
    std::uint16_t half = 0;
    std::memcpy(&half, in + 2 * k, 2);
    out[k] = is_bf16 ? bf16_to_f32(half) : f16_to_f32(half);
  }
}

std::string describe(std::int64_t row, std::int64_t column, const std::string& what) {
  return "row " + std::to_string(row) + ", column " + std::to_string(column) + ": " + what;
}

// What one row allows: scales of its 32-wide blocks, 0 where a block is all zero.
class RowScan {
 public:
  explicit RowScan(std::int64_t cols) : blocks_(static_cast<std::size_t>(cols / kFinestGroup)) {}

  // Empty if every block has one magnitude; else what is wrong, in words.
  std::string read(std::span<const float> row, std::int64_t row_index) {
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      std::uint32_t largest = 0;
      std::uint32_t smallest = kMagnitude;  // of the non-zero magnitudes
      for (std::size_t k = b * kFinestGroup; k < (b + 1) * kFinestGroup; ++k) {
        const std::uint32_t bits = std::bit_cast<std::uint32_t>(row[k]) & kMagnitude;
        largest = std::max(largest, bits);
        smallest = std::min(smallest, bits == 0 ? kMagnitude : bits);
      }
      if (largest != 0 && (largest != smallest || largest >= kInfinity)) {
        return explain(row, row_index, b, largest);
      }
      blocks_[b] = largest;
    }
    return {};
  }

  // Whether `group` in-features share one scale throughout this row.
  bool allows(std::int64_t group) const {
    const auto per_group = static_cast<std::size_t>(group / kFinestGroup);
    for (std::size_t first = 0; first < blocks_.size(); first += per_group) {
      std::uint32_t scale = 0;
      for (std::size_t b = first; b < first + per_group; ++b) {
        if (blocks_[b] == 0) continue;
        if (scale != 0 && blocks_[b] != scale) return false;
        scale = blocks_[b];
      }
    }
    return true;
  }

 private:
  static std::string explain(std::span<const float> row, std::int64_t row_index, std::size_t block,
                             std::uint32_t largest) {
    for (std::size_t k = block * kFinestGroup; k < (block + 1) * kFinestGroup; ++k) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(row[k]) & kMagnitude;
      const auto column = static_cast<std::int64_t>(k);
      if (largest >= kInfinity) {
        if (bits >= kInfinity) return describe(row_index, column, "not a finite number");
      } else if (bits != 0 && bits != largest) {
        return describe(row_index, column,
                        "magnitude " + std::to_string(std::bit_cast<float>(bits)) + " beside " +
                            std::to_string(std::bit_cast<float>(largest)) +
                            " in the same 32 weights");
      }
    }
    return describe(row_index, static_cast<std::int64_t>(block) * kFinestGroup, "not ternary");
  }

  std::vector<std::uint32_t> blocks_;
};

// The first reason found, by row, so that the report does not depend on thread timing.
class FirstReason {
 public:
  bool found_before(std::int64_t row) const { return row_.load(std::memory_order_relaxed) < row; }
  void set(std::int64_t row, std::string reason) {
    const std::lock_guard lock(mutex_);
    if (row >= row_.load(std::memory_order_relaxed)) return;
    row_.store(row, std::memory_order_relaxed);
    reason_ = std::move(reason);
  }
  const std::string& reason() const { return reason_; }

 private:
  std::mutex mutex_;
  std::atomic<std::int64_t> row_{INT64_MAX};
  std::string reason_;
};

// Calls body(row index, its values as f32) for every row, in parallel.
template <class Body>
void for_each_row(const StoredMatrix& source, ThreadPool& pool, const Body& body) {
  pool.parallel_for(static_cast<std::size_t>(source.rows), kRowsPerTask,
                    [&](std::size_t begin, std::size_t end) {
                      std::vector<float> row(static_cast<std::size_t>(source.cols));
                      for (std::size_t r = begin; r < end; ++r) {
                        widen_row(source, static_cast<std::int64_t>(r), row);
                        body(static_cast<std::int64_t>(r), std::span<const float>(row));
                      }
                    });
}

// The largest group that explains every row, or 0 and the reason.
std::int64_t find_group(const StoredMatrix& source, ThreadPool& pool, std::string& reason) {
  if (source.cols % kFinestGroup != 0 || source.cols == 0) {
    reason = std::to_string(source.cols) + " in-features are not a multiple of 32";
    return 0;
  }
  const std::vector<std::int64_t> groups = candidate_groups(source.cols);
  std::atomic<std::size_t> coarsest{0};  // index into groups
  FirstReason first;
  for_each_row(source, pool, [&](std::int64_t r, std::span<const float> row) {
    if (first.found_before(r)) return;
    RowScan scan(source.cols);
    if (std::string why = scan.read(row, r); !why.empty()) {
      first.set(r, std::move(why));
      return;
    }
    std::size_t index = coarsest.load(std::memory_order_relaxed);
    while (!scan.allows(groups[index])) ++index;  // the finest, 32, always holds after read()
    std::size_t seen = coarsest.load(std::memory_order_relaxed);
    while (seen < index && !coarsest.compare_exchange_weak(seen, index)) {
    }
  });
  reason = first.reason();
  return reason.empty() ? groups[coarsest.load()] : 0;
}

// Codes and scale of one group. The scale is the magnitude all non-zero weights share.
std::uint32_t pack_group(std::span<const float> weights, std::uint8_t* codes) {
  std::uint32_t scale = 0;
  for (std::size_t k = 0; k < weights.size(); k += 4) {
    std::uint8_t byte = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto bits = std::bit_cast<std::uint32_t>(weights[k + i]);
      const std::uint32_t magnitude = bits & kMagnitude;
      const std::uint32_t code = magnitude == 0 ? 1u : (bits > kMagnitude ? 0u : 2u);
      byte = static_cast<std::uint8_t>(byte | (code << (2 * i)));
      scale = std::max(scale, magnitude);
    }
    codes[k / 4] = byte;
  }
  return scale;
}

bool pack_row(std::span<const float> row, std::int64_t r, QuantizedMatrix& out) {
  const auto group = static_cast<std::size_t>(out.group);
  std::uint8_t* codes = out.codes.as<std::uint8_t>() + static_cast<std::size_t>(r) * row.size() / 4;
  std::uint16_t* scales =
      out.scales.as<std::uint16_t>() + static_cast<std::size_t>(r) * (row.size() / group);
  for (std::size_t k = 0; k < row.size(); k += group) {
    const float scale = std::bit_cast<float>(pack_group(row.subspan(k, group), codes + k / 4));
    if (!fits_bf16(scale)) return false;
    scales[k / group] = bf16_from_exact(scale);
  }
  return true;
}

Error out_of_memory(const StoredMatrix& source) {
  return Error{Errc::kExhausted, "no memory for a matrix of " + std::to_string(source.rows) +
                                     " x " + std::to_string(source.cols)};
}

}  // namespace

Result<EncodedMatrix> encode_ternary(const StoredMatrix& source, ThreadPool& pool) {
  EncodedMatrix encoded;
  QuantizedMatrix& matrix = encoded.matrix;
  matrix.form = WeightForm::kTernary;
  matrix.rows = source.rows;
  matrix.cols = source.cols;
  matrix.group = find_group(source, pool, encoded.not_ternary_because);
  if (matrix.group != 0) {
    const auto count = static_cast<std::size_t>(source.rows * source.cols);
    matrix.codes = Buffer::allocate(count / 4);
    matrix.scales = Buffer::allocate(2 * count / static_cast<std::size_t>(matrix.group));
    if (count != 0 && (matrix.codes.size() == 0 || matrix.scales.size() == 0)) {
      return out_of_memory(source);
    }
    FirstReason first;
    for_each_row(source, pool, [&](std::int64_t r, std::span<const float> row) {
      if (!pack_row(row, r, matrix)) {
        first.set(r, "row " + std::to_string(r) + ": a scale that bf16 cannot hold");
        return;
      }
      // The proof that packing lost nothing: read it back as a kernel would.
      std::vector<float> unpacked(row.size());
      decode_row(matrix, r, unpacked);
      if (!std::equal(row.begin(), row.end(), unpacked.begin())) {
        first.set(r, "row " + std::to_string(r) + ": packed and stored values differ");
      }
    });
    encoded.not_ternary_because = first.reason();
  }
  if (encoded.not_ternary_because.empty()) return encoded;
  BITCPM_ASSIGN(matrix, encode_dense(source, pool));
  return encoded;
}

Result<QuantizedMatrix> encode_dense(const StoredMatrix& source, ThreadPool& pool) {
  std::atomic<bool> narrow{true};
  if (source.dtype != DType::kBf16) {
    for_each_row(source, pool, [&](std::int64_t, std::span<const float> row) {
      if (!std::all_of(row.begin(), row.end(), fits_bf16)) narrow = false;
    });
  }
  QuantizedMatrix matrix;
  matrix.form = narrow ? WeightForm::kBf16 : WeightForm::kF32;
  matrix.rows = source.rows;
  matrix.cols = source.cols;
  const auto count = static_cast<std::size_t>(source.rows * source.cols);
  matrix.codes = Buffer::allocate(count * (narrow ? 2 : 4));
  if (count != 0 && matrix.codes.size() == 0) return out_of_memory(source);
  if (source.dtype == DType::kBf16) {
    pool.parallel_for(
        source.bytes.size(), std::size_t{1} << 20, [&](std::size_t begin, std::size_t end) {
          std::memcpy(matrix.codes.data() + begin, source.bytes.data() + begin, end - begin);
        });
    return matrix;
  }
  for_each_row(source, pool, [&](std::int64_t r, std::span<const float> row) {
    const std::size_t first = static_cast<std::size_t>(r) * row.size();
    if (narrow) {
      std::transform(row.begin(), row.end(), matrix.codes.as<std::uint16_t>() + first,
                     bf16_from_exact);
    } else {
      std::copy(row.begin(), row.end(), matrix.codes.as<float>() + first);
    }
  });
  return matrix;
}

void decode_row(const QuantizedMatrix& matrix, std::int64_t row, std::span<float> out) {
  BITCPM_CHECK(row >= 0 && row < matrix.rows &&
               out.size() == static_cast<std::size_t>(matrix.cols));
  const std::size_t first = static_cast<std::size_t>(row) * out.size();
  switch (matrix.form) {
    case WeightForm::kTernary: {
      const auto group = static_cast<std::size_t>(matrix.group);
      const std::uint8_t* codes = matrix.codes.as<std::uint8_t>() + first / 4;
      const std::uint16_t* scales = matrix.scales.as<std::uint16_t>() + first / group;
      for (std::size_t k = 0; k < out.size(); ++k) {
        const int code = (codes[k / 4] >> (2 * (k % 4))) & 3;
        out[k] = static_cast<float>(code - 1) * bf16_to_f32(scales[k / group]);
      }
      return;
    }
    case WeightForm::kBf16: {
      const std::uint16_t* values = matrix.codes.as<std::uint16_t>() + first;
      for (std::size_t k = 0; k < out.size(); ++k) out[k] = bf16_to_f32(values[k]);
      return;
    }
    case WeightForm::kF32:
      std::copy_n(matrix.codes.as<float>() + first, out.size(), out.data());
      return;
  }
}

}  // namespace bitcpm
