#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "base/types.h"
#include "model/drift.h"
#include "model/model.h"

namespace bitcpm {

// How far the logits of `got` are from those of `want`, over every position of the texts; both are
// the same checkpoint. `kv_cache_dtype`: of `got`. `progress` gets the positions done. Errors:
// kExhausted.
Result<DriftMeter> measure_drift(const Model& want, const Model& got,
                                 std::span<const std::vector<TokenId>> texts,
                                 FunctionRef<void(std::size_t positions)> progress,
                                 std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt);

// The ids in pieces of up to `length`; a rest of one token, which predicts nothing, is left out.
std::vector<std::vector<TokenId>> cut_text(std::span<const TokenId> ids, std::size_t length);

}  // namespace bitcpm
