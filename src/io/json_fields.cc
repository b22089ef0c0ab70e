#include "io/json_fields.h"

#include <fmt/format.h>

#include <utility>

#include "base/quote.h"

namespace bitcpm {

std::optional<std::int32_t> int_in(const json::value& value, Range<std::int32_t> range) {
  if (!value.is_int64()) return std::nullopt;
  const std::int64_t number = value.as_int64();
  if (number < range.least || number > range.most) return std::nullopt;
  return static_cast<std::int32_t>(number);
}

std::optional<double> number_in(const json::value& value, Range<float> range) {
  double number = 0;
  if (value.is_double()) {
    number = value.as_double();
  } else if (value.is_int64()) {
    number = static_cast<double>(value.as_int64());
  } else {
    return std::nullopt;
  }
  if (!(number >= range.least && number <= range.most)) return std::nullopt;
  return number;
}

JsonFields::JsonFields(const json::object& object, std::string scope)
    : object_(object), scope_(std::move(scope)) {}

const json::value* JsonFields::find(std::string_view field) const {
  const json::value* value = object_.if_contains(json::string_view(field.data(), field.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<std::optional<std::int32_t>> JsonFields::find_int(std::string_view field,
                                                         Range<std::int32_t> range) const {
  const json::value* value = find(field);
  if (value == nullptr) return std::optional<std::int32_t>();
  const std::optional<std::int32_t> number = int_in(*value, range);
  if (number) return number;
  return corrupt(field, fmt::format("expected an integer from {} to {}", range.least, range.most));
}

Result<std::optional<float>> JsonFields::find_float(std::string_view field,
                                                    Range<float> range) const {
  const json::value* value = find(field);
  if (value == nullptr) return std::optional<float>();
  const std::optional<double> number = number_in(*value, range);
  if (number) return std::optional<float>(static_cast<float>(*number));
  return corrupt(field, fmt::format("expected a number from {} to {}", range.least, range.most));
}

Result<std::optional<bool>> JsonFields::find_bool(std::string_view field) const {
  const json::value* value = find(field);
  if (value == nullptr) return std::optional<bool>();
  if (value->is_bool()) return std::optional<bool>(value->as_bool());
  return corrupt(field, "expected true or false");
}

Result<std::optional<std::string_view>> JsonFields::find_text(std::string_view field) const {
  const json::value* value = find(field);
  if (value == nullptr) return std::optional<std::string_view>();
  const json::string* text = value->if_string();
  if (text == nullptr) return corrupt(field, "expected a string");
  return std::optional<std::string_view>(std::in_place, text->data(), text->size());
}

Result<std::optional<JsonFields>> JsonFields::find_object(std::string_view field) const {
  const json::value* value = find(field);
  if (value == nullptr) return std::optional<JsonFields>();
  const json::object* object = value->if_object();
  if (object == nullptr) return corrupt(field, "expected an object");
  return std::optional<JsonFields>(std::in_place, *object, scope_ + ": " + std::string(field));
}

Result<std::int32_t> JsonFields::need_int(std::string_view field, Range<std::int32_t> range) const {
  BITCPM_ASSIGN(const std::optional<std::int32_t> number, find_int(field, range));
  if (!number) return corrupt(field, "missing");
  return *number;
}

Result<double> JsonFields::number_or(std::string_view field, double fallback,
                                     Range<float> range) const {
  BITCPM_TRY(find_float(field, range));
  const json::value* value = find(field);
  return value == nullptr ? fallback : *number_in(*value, range);
}

Result<float> JsonFields::float_or(std::string_view field, float fallback,
                                   Range<float> range) const {
  BITCPM_ASSIGN(const std::optional<float> number, find_float(field, range));
  return number.value_or(fallback);
}

Result<bool> JsonFields::bool_or(std::string_view field, bool fallback) const {
  BITCPM_ASSIGN(const std::optional<bool> flag, find_bool(field));
  return flag.value_or(fallback);
}

Error JsonFields::corrupt(std::string_view field, std::string_view what) const {
  return Error{Errc::kCorrupt, fmt::format("{}: {}: {}", scope_, escaped(field), what)};
}

Error JsonFields::unsupported(std::string_view field, std::string_view what) const {
  return Error{Errc::kUnsupported, fmt::format("{}: {}: {}", scope_, escaped(field), what)};
}

}  // namespace bitcpm
