#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/thread_pool.h"
#include "model/tensor_slots.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {

// fill_synthetic() of a whole tensor, packed as if it had been read from a checkpoint. `seed` and
// `group` are its own. Errors: kExhausted (no memory). Thread: uses the pool, so one caller at a
// time.
Result<EncodedMatrix> make_synthetic_matrix(const TensorSlot& slot, std::uint64_t seed,
                                            std::int64_t group, ThreadPool& pool);

}  // namespace bitcpm
