#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace bitcpm {

// A closed interval of accepted numbers.
template <class T>
struct Range {
  T least, most;
};

// Typed and bounded reading of one object of an untrusted JSON file. A field that is absent or null
// is unset. Errors are kCorrupt, "scope: field: what was expected".
class JsonFields {
 public:
  // `object` must outlive this; `scope` is the file's name, with the path to the object.
  JsonFields(const json::object& object, std::string scope);

  const std::string& scope() const { return scope_; }
  const json::object& object() const { return object_; }

  // The field's value; null if it is unset.
  const json::value* find(std::string_view field) const;

  Result<std::optional<std::int32_t>> find_int(std::string_view field,
                                               Range<std::int32_t> range) const;
  // Checked, then rounded: the ends of the range are f32, so the result is in range and finite.
  Result<std::optional<float>> find_float(std::string_view field, Range<float> range) const;
  Result<std::optional<bool>> find_bool(std::string_view field) const;
  // Views the object.
  Result<std::optional<std::string_view>> find_text(std::string_view field) const;
  Result<std::optional<JsonFields>> find_object(std::string_view field) const;

  Result<std::int32_t> need_int(std::string_view field, Range<std::int32_t> range) const;
  Result<double> number_or(std::string_view field, double fallback, Range<float> range) const;
  Result<float> float_or(std::string_view field, float fallback, Range<float> range) const;
  Result<bool> bool_or(std::string_view field, bool fallback) const;

  Error corrupt(std::string_view field, std::string_view what) const;
  Error unsupported(std::string_view field, std::string_view what) const;

 private:
  const json::object& object_;
  std::string scope_;
};

// One number of an untrusted JSON file, as the fields above read it; unset if it is none in range.
std::optional<std::int32_t> int_in(const json::value& value, Range<std::int32_t> range);
std::optional<double> number_in(const json::value& value, Range<float> range);

}  // namespace bitcpm
