#pragma once

#include <cstdint>

namespace bitcpm {

// An index into the vocabulary.
using TokenId = std::int32_t;

}  // namespace bitcpm
