#pragma once

#include <string>
#include <string_view>

#include "server/prepared_request.h"

namespace bitcpm {

// POST /tokenize and /detokenize in vLLM's shapes: the JSON of the answer.
Parsed<std::string> answer_tokenize(std::string_view body, const RequestLimits& limits,
                                    const TextTools& tools);
Parsed<std::string> answer_detokenize(std::string_view body, const RequestLimits& limits,
                                      const TextTools& tools);

}  // namespace bitcpm
