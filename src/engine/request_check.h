#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "engine/engine_config.h"
#include "engine/request.h"

namespace bitcpm {

// Whether an engine of these limits can run the request to its end. The message names the first
// parameter that is wrong, its value and its range. Errors: kInvalid.
Status check_request(std::span<const TokenId> prompt, const SamplingParams& params,
                     const EngineConfig& config, std::int32_t vocab_size);

}  // namespace bitcpm
