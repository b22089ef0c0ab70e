#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace bitcpm {

// A failure as an HTTP client sees it: {"error": {"message", "type", "param", "code"}}, the names
// of `type` being vLLM's. Holds nothing of the machine's insides: no path, no address.
struct ApiError {
  unsigned status = 500;
  std::string type;
  std::string message;
  std::string param;      // the request field at fault; empty: null
  int retry_after_s = 0;  // > 0: sent as Retry-After
  std::string allow;      // of a 405: the methods that would do
};

// A T or the reason why the client does not get one.
template <class T>
using Parsed = std::variant<T, ApiError>;

ApiError bad_request(std::string message, std::string param = {});  // 400
ApiError not_supported(std::string_view field);                     // 400, naming the field
ApiError not_found(std::string message, std::string param = {});    // 404
ApiError unavailable(std::string message);                          // 503 with Retry-After
ApiError internal_error();                                          // 500 without detail
ApiError http_error(unsigned status, std::string type, std::string message);

// What Engine::submit, the tokenizer or the template refused: the client's fault (kInvalid), a full
// queue (kExhausted), else a 500 whose reason goes to the log only.
ApiError from_error(const Error& error);

std::string to_json(const ApiError& error);

}  // namespace bitcpm
