#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/types.h"
#include "server/api_error.h"

namespace bitcpm {

// Reads the fields of one JSON object of a request, each with its type and range. The first
// mistake sticks (failed(), error()); after it every getter answers as if its field were absent.
// An explicit null equals an absent field. Refers to the object.
class FieldReader {
 public:
  explicit FieldReader(const json::object& object) : object_(object) {}

  const json::value* find(std::string_view name);  // nullptr: absent or null

  bool flag(std::string_view name, bool otherwise);
  std::optional<double> number(std::string_view name, double least, double most);
  // Whole numbers, however written (16 or 16.0).
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t least, std::int64_t most);
  std::optional<std::string_view> string(std::string_view name);
  std::vector<TokenId> token_ids(std::string_view name, std::size_t max_count);

  // For fields that change the answer and that nothing here honours: absent, null, false, an empty
  // list or string pass; anything else fails, {} too: as a schema it means "any JSON".
  void refuse(std::string_view name);

  void fail(std::string message, std::string_view param);
  bool failed() const { return error_.has_value(); }
  const ApiError& error() const { return *error_; }

  // Names nobody has asked for, at most `max_count`.
  std::vector<std::string_view> unknown(std::size_t max_count) const;

 private:
  const json::object& object_;
  std::vector<std::string_view> known_;
  std::optional<ApiError> error_;
};

// A JSON number that is whole, within int64.
std::optional<std::int64_t> whole_number(const json::value& value);

}  // namespace bitcpm
