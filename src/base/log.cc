#include "base/log.h"

#define SPDLOG_FMT_EXTERNAL  // fmt, header-only, is its own dependency
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <memory>
#include <string>

namespace bitcpm {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v";
// The message is written as what follows "level": a JSON string, and the fields.
constexpr const char* kJsonPattern =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%v})";

std::atomic<bool> is_json{false};

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>(
        "bitcpm", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern(kTextPattern);
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string json_text(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text.data(), text.size()));
}

std::string json_value(const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) return json_text(*text);
  if (const auto* whole = std::get_if<std::int64_t>(&field.value)) return std::to_string(*whole);
  return fmt::format("{:.3f}", std::get<double>(field.value));
}

std::string text_value(const LogField& field) {
  const auto* text = std::get_if<std::string_view>(&field.value);
  if (text == nullptr) return json_value(field);
  const bool is_plain = !text->empty() && std::all_of(text->begin(), text->end(), [](char c) {
    return c > ' ' && c != '"' && c != '\\' && c != 0x7F;
  });
  return is_plain ? std::string(*text) : json_text(*text);
}

void write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  const auto at = to_spdlog(level);
  if (!logger().should_log(at)) return;
  const bool json = is_json.load(std::memory_order_relaxed);
  std::string line = json ? json_text(message) : std::string(message);
  for (const LogField& field : fields) {
    line += json ? fmt::format(",\"{}\":{}", field.name, json_value(field))
                 : fmt::format(" {}={}", field.name, text_value(field));
  }
  logger().log(at, "{}", line);
}

}  // namespace

void set_log_level(LogLevel least) { logger().set_level(to_spdlog(least)); }

void set_log_format(LogFormat format) {
  is_json = format == LogFormat::kJson;
  logger().set_formatter(std::make_unique<spdlog::pattern_formatter>(
      is_json ? kJsonPattern : kTextPattern,
      is_json ? spdlog::pattern_time_type::utc : spdlog::pattern_time_type::local));
}

void log_debug(std::string_view line) { write(LogLevel::kDebug, line, {}); }
void log_info(std::string_view line) { write(LogLevel::kInfo, line, {}); }
void log_warning(std::string_view line) { write(LogLevel::kWarning, line, {}); }
void log_error(std::string_view line) { write(LogLevel::kError, line, {}); }

void log_event(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  write(level, message, fields);
}

}  // namespace bitcpm
