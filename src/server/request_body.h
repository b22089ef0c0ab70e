#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/generation_options.h"

namespace bitcpm {

// The body of a POST as a JSON object; anything else is a 400.
Parsed<json::value> parse_body(std::string_view body);

// 404 unless the model is served under that name.
std::optional<ApiError> check_model(const std::string& name, const RequestLimits& limits);

}  // namespace bitcpm
