#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/dtype.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace bitcpm {

// A weight matrix as the checkpoint stores it: [rows, cols], row-major, little-endian, of any
// alignment. rows * cols * dtype_bytes(dtype) == bytes.size().
struct StoredMatrix {
  DType dtype = DType::kBf16;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::span<const std::byte> bytes;
};

struct EncodedMatrix {
  QuantizedMatrix matrix;
  std::string not_ternary_because;  // empty if ternary; else where the first contradiction stands
};

// Published BitCPM checkpoints are fake-quantised: within a group of in-features every weight is
// -s, 0 or +s (BitCPM-CANN, section 3.2), and the group is declared nowhere. Finds the largest
// group in {cols, …, 256, 128, 64, 32} that explains every row, packs codes and bf16 scales,
// unpacks them again and compares with the source value for value (-0 equals 0). A matrix that is
// not ternary, or whose scales bf16 cannot hold, is kept dense and says why. Errors: kExhausted (no
// memory). Thread: uses the pool, so one caller at a time.
Result<EncodedMatrix> encode_ternary(const StoredMatrix& source, ThreadPool& pool);

// The matrix as it is: kBf16 if bf16 holds every value, else kF32. Same errors and thread rule.
Result<QuantizedMatrix> encode_dense(const StoredMatrix& source, ThreadPool& pool);

// The weights of one row, widened to f32. out: [cols].
void decode_row(const QuantizedMatrix& matrix, std::int64_t row, std::span<float> out);

}  // namespace bitcpm
