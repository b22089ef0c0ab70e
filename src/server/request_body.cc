#include "server/request_body.h"

#include <fmt/format.h>

#include <algorithm>

namespace bitcpm {

Parsed<json::value> parse_body(std::string_view body) {
  constexpr std::size_t kMaxJsonDepth = 32;  // messages take four
  Result<json::value> parsed =
      parse_json(body, {.max_bytes = body.size(), .max_depth = kMaxJsonDepth});
  if (!parsed.ok()) return bad_request(parsed.error().message);
  if (!parsed->is_object()) return bad_request("the body must be a JSON object");
  return std::move(*parsed);
}

std::optional<ApiError> check_model(const std::string& name, const RequestLimits& limits) {
  const auto& names = limits.served_model_names;
  if (std::find(names.begin(), names.end(), name) != names.end()) return std::nullopt;
  constexpr std::size_t kShown = 256;
  if (name.size() > kShown) return not_found("The model does not exist.", "model");
  return not_found(fmt::format("The model `{}` does not exist.", name), "model");
}

}  // namespace bitcpm
