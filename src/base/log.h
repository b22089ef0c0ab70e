#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

// One line to stderr each, with time and level. Any thread. Never put a prompt in one.
namespace bitcpm {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// kJson: every line is an object of time (RFC 3339, UTC), level, message and the fields.
enum class LogFormat { kText, kJson };

void set_log_level(LogLevel least);
void set_log_format(LogFormat format);

void log_debug(std::string_view line);
void log_info(std::string_view line);
void log_warning(std::string_view line);
void log_error(std::string_view line);

// A message with named values: "message name=value …" as text. Values may come from strangers:
// control characters are escaped, and in text what holds spaces is quoted.
struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double> value;
};
void log_event(LogLevel level, std::string_view message, std::span<const LogField> fields);

}  // namespace bitcpm
