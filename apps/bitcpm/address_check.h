#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace bitcpm {

// Whether a server could listen there now, so that a mistaken address is reported before a model is
// loaded, not after; the port is free again on return. Errors: kIo, naming host and port.
Status check_address(const std::string& host, std::uint16_t port);

}  // namespace bitcpm
