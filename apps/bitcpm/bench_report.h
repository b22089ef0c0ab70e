#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/json.h"
#include "base/result.h"
#include "bench_source.h"
#include "measure/spread.h"
#include "measure/work.h"

namespace bitcpm {

// What was measured on what, for the head of every report.
struct BenchSetting {
  std::string command;  // "kernels", "decode", "prefill"
  std::string model;
  std::string numerics;
  std::string device;
  int threads = 1;
  int repeat = 1;
  DeviceLimits limits;
};

// Names the setting and measures the device's limits.
Result<BenchSetting> measure_setting(const char* command, const BenchOptions& options,
                                     const BenchSource& source, Backend& backend);

using TableRow = std::vector<std::string>;

// Columns as wide as their widest cell and two spaces apart; the first `left` are flush left, the
// others flush right. No spaces at the ends of lines.
std::string format_table(const std::vector<TableRow>& rows, std::size_t left);

// The columns that every table ends with: GB/s, GMAC/s, both shares, and the limit that is nearer.
TableRow rate_titles();
TableRow rate_cells(const Work& work, double seconds, const DeviceLimits& limits);

json::object spread_json(const Spread& spread);
// bytes_per_s, macs_per_s, bandwidth_share, compute_share and bound_by of a result.
void add_rates(const Work& work, double seconds, const DeviceLimits& limits, json::object& result);

// Prints the head and then the table, or with --json one object that holds `results`. Errors: kIo.
Status print_report(const BenchOptions& options, const BenchSetting& setting,
                    const std::string& table, json::array results);

}  // namespace bitcpm
