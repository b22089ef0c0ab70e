#pragma once

#include <string_view>

// One line to stderr each, with time and level. Any thread. Never put a prompt in one.
namespace bitcpm {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void set_log_level(LogLevel least);
void log_debug(std::string_view line);
void log_info(std::string_view line);
void log_warning(std::string_view line);
void log_error(std::string_view line);

}  // namespace bitcpm
