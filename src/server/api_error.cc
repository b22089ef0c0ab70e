#include "server/api_error.h"

#include <fmt/format.h>

#include "base/json.h"
#include "base/log.h"

namespace bitcpm {
namespace {

constexpr int kRetryAfterSeconds = 1;  // a slot frees within about one request's decode time

}  // namespace

ApiError http_error(unsigned status, std::string type, std::string message) {
  ApiError error;
  error.status = status;
  error.type = std::move(type);
  error.message = std::move(message);
  return error;
}

ApiError bad_request(std::string message, std::string param) {
  ApiError error = http_error(400, "BadRequestError", std::move(message));
  error.param = std::move(param);
  return error;
}

ApiError not_supported(std::string_view field) {
  return bad_request(fmt::format("'{}' is not supported yet", field), std::string(field));
}

ApiError not_found(std::string message, std::string param) {
  ApiError error = http_error(404, "NotFoundError", std::move(message));
  error.param = std::move(param);
  return error;
}

ApiError unavailable(std::string message) {
  ApiError error = http_error(503, "ServiceUnavailableError", std::move(message));
  error.retry_after_s = kRetryAfterSeconds;
  return error;
}

ApiError internal_error() {
  return http_error(500, "InternalServerError", "internal error; see the server's log");
}

ApiError from_error(const Error& error) {
  switch (error.code) {
    case Errc::kInvalid:
      return bad_request(error.message);
    case Errc::kExhausted:
      return unavailable("the server is busy: " + error.message);
    default:
      log_error("request failed: " + error.message);
      return internal_error();
  }
}

std::string to_json(const ApiError& error) {
  json::object inner;
  inner["message"] = error.message;
  inner["type"] = error.type;
  inner["param"] = error.param.empty() ? json::value(nullptr) : json::value(error.param);
  inner["code"] = error.status;
  json::object outer;
  outer["error"] = std::move(inner);
  return json::serialize(outer);
}

}  // namespace bitcpm
