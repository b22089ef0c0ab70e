#pragma once

#include <string_view>

#include "io/model_files.h"

namespace bitcpm {

inline constexpr std::string_view kEmbeddedModelName = "bitcpm-tiny";

// The checkpoint built into the program: what every command runs if it is given no MODEL.
ModelFiles open_embedded_model();

}  // namespace bitcpm
