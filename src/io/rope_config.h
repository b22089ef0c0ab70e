#pragma once

#include "base/result.h"
#include "io/json_fields.h"
#include "io/model_config.h"

namespace bitcpm {

// Context lengths that a config may claim, and the token positions that follow from them.
inline constexpr Range<std::int32_t> kPositionRange = {1, 1 << 26};

// Reads rope_theta and `rope_scaling`, or transformers 5's `rope_parameters` that holds both, from
// config.json. Plain rotary embedding and LongRoPE ("longrope", formerly "su") are run; every other
// type is kUnsupported by name.
Result<RopeConfig> parse_rope_config(const JsonFields& config, std::int32_t head_dim,
                                     std::int32_t max_position_embeddings);

// The same model's, had its config.json named this many max_position_embeddings, and the old ones
// as the original length if it named none.
RopeConfig rope_for_positions(RopeConfig rope, std::int32_t max_position_embeddings);

}  // namespace bitcpm
