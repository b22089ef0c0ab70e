#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace bitcpm {

enum class Errc : std::uint8_t {
  kInvalid,      // the caller's input is wrong
  kNotFound,     // a named thing does not exist
  kCorrupt,      // a file does not hold what its format promises
  kUnsupported,  // well-formed, but nothing here runs it
  kExhausted,    // a limit is reached; may succeed later
  kIo,           // the operating system said no
};

// An expected failure, as data. Bugs go through BITCPM_CHECK instead.
struct Error {
  Errc code;
  std::string message;  // what failed, on which input; one line, no trailing full stop

  // The same error seen from one level further out: "scope: message".
  Error within(std::string_view scope) && {
    message.insert(0, std::string(scope) + ": ");
    return std::move(*this);
  }
};

// A T or the Error that prevented it. Reading the absent side is a bug and aborts.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    BITCPM_CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    BITCPM_CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    BITCPM_CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    BITCPM_CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    BITCPM_CHECK(!ok());
    return std::get<1>(std::move(state_));
  }

 private:
  std::variant<T, Error> state_;
};

// Success, or the Error that prevented it.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : state_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  const Error& error() const& {
    BITCPM_CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    BITCPM_CHECK(!ok());
    return std::get<1>(std::move(state_));
  }

 private:
  std::variant<std::monostate, Error> state_;
};

using Status = Result<void>;

}  // namespace bitcpm

#define BITCPM_CONCAT_INNER(a, b) a##b
#define BITCPM_CONCAT(a, b) BITCPM_CONCAT_INNER(a, b)

// BITCPM_TRY(expr): returns the error of a Status expression, if it has one.
#define BITCPM_TRY(expr)                                                                           \
  do {                                                                                             \
    if (auto bitcpm_status = (expr); !bitcpm_status.ok()) return std::move(bitcpm_status).error(); \
  } while (false)

// BITCPM_ASSIGN(auto x, expr): x = the value of a Result expression, or return its error.
#define BITCPM_ASSIGN(lhs, expr) BITCPM_ASSIGN_INNER(BITCPM_CONCAT(bitcpm_r, __LINE__), lhs, expr)
#define BITCPM_ASSIGN_INNER(result, lhs, expr)        \
  auto result = (expr);                               \
  if (!result.ok()) return std::move(result).error(); \
  lhs = std::move(result).value()
