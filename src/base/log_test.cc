#include "base/log.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace bitcpm {
namespace {

std::string logged(LogFormat format, std::string_view message, std::span<const LogField> fields) {
  set_log_format(format);
  testing::internal::CaptureStderr();
  log_event(LogLevel::kWarning, message, fields);
  set_log_format(LogFormat::kText);
  return testing::internal::GetCapturedStderr();
}

// Protects readers of the log, programs above all: one line per event, whatever strangers send.
TEST(Log, WritesFields) {
  const LogField fields[] = {{"path", "/a b\n\"x\""}, {"status", std::int64_t{200}}, {"ms", 1.5}};
  const std::string text = logged(LogFormat::kText, "access", fields);
  EXPECT_NE(text.find(R"(warning access path="/a b\n\"x\"" status=200 ms=1.500)"),
            std::string::npos)
      << text;
  const std::string line = logged(LogFormat::kJson, "say \"hi\"", fields);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const boost::json::value json = boost::json::parse(line);
  EXPECT_EQ(json.at("level"), "warning");
  EXPECT_EQ(json.at("message"), "say \"hi\"");
  EXPECT_EQ(json.at("path"), "/a b\n\"x\"");
  EXPECT_EQ(json.at("status"), 200);
  EXPECT_TRUE(json.at("time").as_string().ends_with("Z"));
}

}  // namespace
}  // namespace bitcpm
