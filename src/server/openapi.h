#pragma once

#include <string>

namespace bitcpm {

// openapi.json, with this program's version in it.
std::string openapi_document();

}  // namespace bitcpm
