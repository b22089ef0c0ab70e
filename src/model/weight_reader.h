#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "io/checkpoint.h"
#include "io/model_config.h"
#include "io/model_files.h"
#include "model/loader.h"
#include "model/tensor_slots.h"

namespace bitcpm {

// Walks a checkpoint tensor by tensor: matches it against the model's slots, discovers ternary
// matrices, reports. What becomes of each matrix is the caller's business.
class WeightReader {
 public:
  // `files` must outlive the reader. Errors: no weights, a missing or foreign tensor, a wrong shape
  // or type, all named.
  static Result<WeightReader> open(ModelFiles& files, const ModelConfig& config);

  // The slots in order; the head's is left out when it is tied.
  const std::vector<TensorSlot>& slots() const { return slots_; }

  bool head_tied() const { return report_.head_tied; }

  // Reads slot `index`, adds it to the report and releases its pages in the file. Norms come as
  // kF32 or kBf16 matrices of one row. Errors: kExhausted.
  Result<QuantizedMatrix> read(std::size_t index, ThreadPool& pool, const LoadProgress& progress);

  ModelReport take_report() { return std::move(report_); }

 private:
  WeightReader(ModelFiles& files, TensorMap tensors)
      : files_(&files), tensors_(std::move(tensors)) {}

  Status match(const ModelConfig& config);
  Status refuse_foreign_tensors();

  ModelFiles* files_;
  TensorMap tensors_;
  std::vector<TensorSlot> slots_;
  ModelReport report_;
  std::size_t bytes_done_ = 0;
  std::size_t bytes_total_ = 0;
};

}  // namespace bitcpm
