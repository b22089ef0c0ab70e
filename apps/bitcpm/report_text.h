#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace bitcpm {

enum class ReportLanguage { kEnglish, kChinese, kBoth };
enum class ReportSection { kPerformance, kAccuracy };

// One table of a report, with what to say above it.
struct ReportTable {
  std::string title;
  std::vector<std::string> notes;
  std::vector<std::vector<std::string>> rows;  // the first are the column titles
};

// The tables of one section, from check_report()ed data; with the reference's figures beside ours
// if the data has them.
std::vector<ReportTable> report_tables(const json::object& report, ReportSection section,
                                       ReportLanguage language);

// What was measured, where and when: one line.
std::string report_setting(const json::object& report, ReportLanguage language);

// One section, or with titles the whole report, as Markdown.
std::string markdown_section(const json::object& report, ReportSection section,
                             ReportLanguage language);
std::string markdown_report(const json::object& report);

// The same and the plots as one HTML file that loads nothing.
std::string html_report(const json::object& report);

}  // namespace bitcpm
