#include "server/openapi.h"

#include <string_view>

// Begin and end of the file, from openapi.S.in.
extern "C" {
extern const char bitcpm_openapi[], bitcpm_openapi_end[];
}

namespace bitcpm {

std::string openapi_document() {
  constexpr std::string_view kVersionMark = "@version@";
  std::string document(bitcpm_openapi, bitcpm_openapi_end);
  const std::size_t at = document.find(kVersionMark);
  if (at != std::string::npos) document.replace(at, kVersionMark.size(), BITCPM_VERSION);
  return document;
}

}  // namespace bitcpm
