#pragma once

#include <cstdint>
#include <memory>

#include "base/function_ref.h"
#include "base/result.h"
#include "model/weights.h"

namespace bitcpm {

// One tensor of tensor_slots(), in the form its source has: as the backend runs it, or as the
// canonical matrix, which is empty then.
struct SourceWeight {
  std::unique_ptr<PreparedWeight> ready;  // null: see matrix
  QuantizedMatrix matrix;
};

// Gives the slots one after the other, without the head's if it is tied.
using NextWeight = FunctionRef<Result<SourceWeight>()>;

// All weights of a model in the backend's memory. Errors: the source's, kExhausted.
Result<ModelWeights> assemble_weights(NextWeight next, bool head_tied, std::int32_t layers,
                                      Backend& backend);

}  // namespace bitcpm
