#include "bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "console.h"

namespace bitcpm {
namespace {

constexpr double kGiga = 1e9;

std::string heading(const BenchSetting& setting) {
  return fmt::format(
      "{}: {}; numerics {}; {}; median of {}\n"
      "limits: reads {:.1f} GB/s, int8 {:.1f} GMAC/s ({}), bf16 {:.1f}, f32 {:.1f}\n\n",
      setting.command, visible(setting.model), setting.numerics, setting.device, setting.repeat,
      setting.limits.read_bytes_per_s / kGiga, setting.limits.int8_macs_per_s / kGiga,
      setting.limits.int8_instruction, setting.limits.bf16_macs_per_s / kGiga,
      setting.limits.f32_macs_per_s / kGiga);
}

json::object report_json(const BenchSetting& setting, json::array results) {
  return {{"command", setting.command},
          {"model", setting.model},
          {"numerics", setting.numerics},
          {"device", setting.device},
          {"threads", setting.threads},
          {"repeat", setting.repeat},
          {"limits",
           {{"read_bytes_per_s", setting.limits.read_bytes_per_s},
            {"int8_macs_per_s", setting.limits.int8_macs_per_s},
            {"int8_instruction", setting.limits.int8_instruction},
            {"bf16_macs_per_s", setting.limits.bf16_macs_per_s},
            {"f32_macs_per_s", setting.limits.f32_macs_per_s}}},
          {"results", std::move(results)}};
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

}  // namespace

Result<BenchSetting> measure_setting(const char* command, const BenchOptions& options,
                                     const BenchSource& source, Backend& backend) {
  BenchSetting setting{.command = command,
                       .model = source.name(),
                       .numerics = std::string(numerics_name(options.model.numerics)),
                       .device = backend.description(),
                       .threads = backend.pool().threads(),
                       .repeat = options.repeats(),
                       .limits = {}};
  BITCPM_ASSIGN(setting.limits, backend.measure_limits());
  return setting;
}

std::string format_table(const std::vector<TableRow>& rows, std::size_t left) {
  std::vector<std::size_t> widths;
  for (const TableRow& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table;
  for (const TableRow& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += i < left ? fmt::format("{:<{}}", row[i], widths[i])
                       : fmt::format("{:>{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  return table;
}

TableRow rate_titles() { return {"GB/s", "GMAC/s", "of reads", "of peak", "bound by"}; }

TableRow rate_cells(const Work& work, double seconds, const DeviceLimits& limits) {
  const Shares shares = shares_of(work, seconds, limits);
  return {fmt::format("{:.2f}", work.bytes / seconds / kGiga),
          fmt::format("{:.1f}", work.macs() / seconds / kGiga), percent(shares.bandwidth),
          percent(shares.compute), std::string(shares.binding())};
}

json::object spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

void add_rates(const Work& work, double seconds, const DeviceLimits& limits, json::object& result) {
  const Shares shares = shares_of(work, seconds, limits);
  result["bytes_per_s"] = work.bytes / seconds;
  result["macs_per_s"] = work.macs() / seconds;
  result["bandwidth_share"] = shares.bandwidth;
  result["compute_share"] = shares.compute;
  result["bound_by"] = shares.binding();
}

Status print_report(const BenchOptions& options, const BenchSetting& setting,
                    const std::string& table, json::array results) {
  const std::string text = options.json
                               ? pretty_json(report_json(setting, std::move(results))) + "\n"
                               : heading(setting) + table;
  if (!print(text)) return Error{Errc::kIo, "standard output cannot be written"};
  return {};
}

}  // namespace bitcpm
