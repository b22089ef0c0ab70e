#include "server/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace bitcpm {
namespace {

constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

bool is_empty(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return true;
    case json::kind::bool_:
      return !value.get_bool();
    case json::kind::string:
      return value.get_string().empty();
    case json::kind::array:
      return value.get_array().empty();
    default:
      return false;
  }
}

}  // namespace

std::optional<std::int64_t> whole_number(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64()) return std::nullopt;  // the parser uses it only beyond int64
  if (!value.is_double()) return std::nullopt;
  const double number = value.get_double();
  if (!(std::abs(number) <= kExactIntegers) || number != std::trunc(number)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

const json::value* FieldReader::find(std::string_view name) {
  known_.push_back(name);
  if (failed()) return nullptr;
  const json::value* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool FieldReader::flag(std::string_view name, bool otherwise) {
  const json::value* value = find(name);
  if (value == nullptr) return otherwise;
  if (value->is_bool()) return value->get_bool();
  fail(fmt::format("'{}' must be true or false", name), name);
  return otherwise;
}

std::optional<double> FieldReader::number(std::string_view name, double least, double most) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    fail(fmt::format("'{}' must be a number", name), name);
    return std::nullopt;
  }
  const double number = value->to_number<double>();
  if (number >= least && number <= most) return number;  // false for NaN
  fail(fmt::format("'{}' must be between {} and {}, got {}", name, least, most, number), name);
  return std::nullopt;
}

std::optional<std::int64_t> FieldReader::integer(std::string_view name, std::int64_t least,
                                                 std::int64_t most) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    fail(fmt::format("'{}' must be an integer", name), name);
    return std::nullopt;
  }
  const std::optional<std::int64_t> number = whole_number(*value);
  if (number && *number >= least && *number <= most) return number;
  fail(fmt::format("'{}' must be an integer between {} and {}", name, least, most), name);
  return std::nullopt;
}

std::optional<std::string_view> FieldReader::string(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::string_view(value->get_string());
  fail(fmt::format("'{}' must be a string", name), name);
  return std::nullopt;
}

std::vector<TokenId> FieldReader::token_ids(std::string_view name, std::size_t max_count) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  const json::array* list = value->if_array();
  if (list == nullptr || list->size() > max_count) {
    fail(fmt::format("'{}' must be a list of at most {} token ids", name, max_count), name);
    return {};
  }
  std::vector<TokenId> ids;
  ids.reserve(list->size());
  for (const json::value& item : *list) {
    const std::optional<std::int64_t> id = whole_number(item);
    if (!id || *id < 0 || *id > std::numeric_limits<TokenId>::max()) {
      fail(fmt::format("'{}' holds something that is not a token id", name), name);
      return {};
    }
    ids.push_back(static_cast<TokenId>(*id));
  }
  return ids;
}

void FieldReader::refuse(std::string_view name) {
  const json::value* value = find(name);
  if (value != nullptr && !is_empty(*value)) error_ = not_supported(name);
}

void FieldReader::fail(std::string message, std::string_view param) {
  if (!failed()) error_ = bad_request(std::move(message), std::string(param));
}

std::vector<std::string_view> FieldReader::unknown(std::size_t max_count) const {
  std::vector<std::string_view> names;
  for (const auto& field : object_) {
    if (names.size() == max_count) break;
    const std::string_view name = field.key();
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) names.push_back(name);
  }
  return names;
}

}  // namespace bitcpm
