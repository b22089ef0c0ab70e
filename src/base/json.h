#pragma once

#include <boost/json.hpp>
#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace bitcpm {

namespace json = boost::json;

struct JsonLimits {
  std::size_t max_bytes = std::size_t{8} << 20;
  std::size_t max_depth = 64;  // nested arrays and objects
};

// One JSON document (RFC 8259, UTF-8), nothing after it but white space. Differs from a plain parse
// in being bounded and in refusing an object that names a key twice, which RFC 8259 leaves
// undefined and readers resolve differently.
// Errors: kCorrupt, one line with the byte offset. Any thread.
Result<json::value> parse_json(std::string_view text, const JsonLimits& limits = {});

}  // namespace bitcpm
