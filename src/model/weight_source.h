#pragma once

#include <memory>

#include "base/result.h"
#include "model/weights.h"

namespace bitcpm {

// Where weights come from, in the order of tensor_slots(): each call gives the next.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // embed_tokens, and lm_head where the tied one has a form of its own.
  virtual Status tables(ModelWeights& weights) = 0;
  virtual Result<Buffer> norm() = 0;
  virtual Result<std::unique_ptr<PreparedWeight>> projection() = 0;
  // lm_head, unless it is tied.
  virtual Status head(ModelWeights& weights) = 0;
};

// All of them. Errors: the source's.
Result<ModelWeights> assemble_weights(WeightSource& source, std::int32_t layers);

// A norm's weights, one row of any dense form, as the backend wants them.
Result<Buffer> upload_norm(const QuantizedMatrix& matrix, Backend& backend);

}  // namespace bitcpm
