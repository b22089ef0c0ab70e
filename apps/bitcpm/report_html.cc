#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report_text.h"
#include "svg_chart.h"

namespace bitcpm {
namespace {

constexpr const char* kOurs = "#1565c0";
constexpr const char* kTheirs = "#9e9e9e";
constexpr const char* kSecond = "#ef6c00";
constexpr const char* kThird = "#2e7d32";

constexpr const char* kStyle =
    "body{font-family:system-ui,'Noto Sans CJK SC',sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem;color:#222;line-height:1.45}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
    "th,td{border:1px solid #ccc;padding:.25rem .7rem;text-align:right}"
    "th:first-child,td:first-child{text-align:left}th{background:#f3f5f7}"
    "h2{margin-top:2.2rem;border-bottom:1px solid #ddd}h3{margin-bottom:.3rem}"
    "svg{width:100%;height:auto;margin:.5rem 0 1rem}.note{color:#555;margin:.1rem 0}";

std::optional<double> number(const json::value& root, const char* pointer) {
  boost::system::error_code missing;
  const json::value* found = root.find_pointer(pointer, missing);
  if (found == nullptr || !found->is_number()) return std::nullopt;
  return found->to_number<double>();
}

std::string table_html(const ReportTable& table) {
  std::string html = "<h3>" + html_escaped(table.title) + "</h3>\n";
  for (const std::string& note : table.notes) {
    html += "<p class=\"note\">" + html_escaped(note) + "</p>\n";
  }
  html += "<table>\n";
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    const char* cell = r == 0 ? "th" : "td";
    html += "<tr>";
    for (const std::string& text : table.rows[r]) {
      html += fmt::format("<{}>{}</{}>", cell, html_escaped(text), cell);
    }
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

Chart throughput_chart(const json::value& report) {
  Chart chart{.title = "Output throughput over batch / 批处理输出吞吐",
              .x_label = "batch / 批大小",
              .y_label = "tok/s",
              .places = {},
              .series = {{"bitcpm", kOurs, {}}}};
  const bool compared = report.as_object().contains("reference");
  if (compared) chart.series.push_back({"reference / 参考部署", kTheirs, {}});
  for (const json::value& ours : report.at("throughput").as_array()) {
    const auto batch = number(ours, "/num_requests");
    chart.places.push_back(fmt::format("{:.0f}", batch.value_or(0)));
    chart.series[0].values.push_back(number(ours, "/output_tokens_per_second"));
    if (!compared) continue;
    std::optional<double> theirs;
    for (const json::value& entry : report.at("reference").at("throughput").as_array()) {
      if (number(entry, "/num_requests") == batch) {
        theirs = number(entry, "/output_tokens_per_second");
      }
    }
    chart.series[1].values.push_back(theirs);
  }
  return chart;
}

Chart latency_chart(const json::value& report) {
  Chart chart{.title = "Latency of one request, percentiles / 单请求延迟分位数",
              .x_label = "percentile / 分位",
              .y_label = "s",
              .places = {},
              .series = {{"bitcpm", kOurs, {}}}};
  for (const char* percent : {"10", "25", "50", "75", "90", "99"}) {
    chart.places.emplace_back(percent);
    chart.series[0].values.push_back(
        number(report, (std::string("/latency/percentiles/") + percent).c_str()));
  }
  return chart;
}

Chart serve_chart(const json::value& report) {
  Chart chart{.title = "Serving latency / 服务延迟",
              .x_label = "",
              .y_label = "ms",
              .places = {"mean", "median", "p90", "p99"},
              .series = {{"TTFT", kOurs, {}}, {"TPOT", kSecond, {}}, {"E2EL", kThird, {}}},
              .is_log = true};
  const char* const kNames[] = {"ttft", "tpot", "e2el"};
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    for (const std::string& kind : chart.places) {
      chart.series[i].values.push_back(
          number(report, fmt::format("/serve/{}_{}_ms", kind, kNames[i]).c_str()));
    }
  }
  return chart;
}

// Distance from a perfect cosine: on a log axis the tail is what one sees.
Chart cosine_chart(const json::value& report) {
  Chart chart{.title = "1 - cosine of every token's logits / 逐 token 的 1 - 余弦相似度",
              .x_label = "% of tokens, worst on the right / token 百分比, 最差在右",
              .y_label = "1 - cosine",
              .places = {},
              .series = {{"bitcpm", kOurs, {}}},
              .is_log = true};
  const json::array& quantiles = report.at("accuracy").at("cosine_quantiles").as_array();
  const bool compared = report.as_object().contains("reference");
  if (compared) chart.series.push_back({"reference, worst / 参考部署, 最差", kTheirs, {}});
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    chart.places.push_back(std::to_string(i));
    const json::value& value = quantiles[quantiles.size() - 1 - i];
    if (value.is_number()) {
      chart.series[0].values.push_back(1 - value.to_number<double>());
    } else {
      chart.series[0].values.push_back(std::nullopt);
    }
    if (!compared) continue;
    const auto worst = number(report, "/reference/accuracy/cosine_min");
    chart.series[1].values.push_back(worst ? std::optional(1 - *worst) : std::nullopt);
  }
  return chart;
}

Chart layers_chart(const json::value& report) {
  Chart chart{.title = "Relative error per layer / 逐层相对误差",
              .x_label = "layer / 层",
              .y_label = "|B - A| / |A|",
              .places = {},
              .series = {{"after the layer / 层输出", kOurs, {}},
                         {"attention", kSecond, {}},
                         {"mlp", kThird, {}}}};
  for (const json::value& point : report.at("accuracy").at("layers").as_array()) {
    boost::system::error_code missing;
    const json::value* name = point.find_pointer("/point", missing);
    if (name == nullptr || !name->is_string()) continue;
    const std::string text(name->as_string());
    const auto error = number(point, "/relative_error");
    const bool is_attention = text.ends_with(" attention");
    const bool is_mlp = text.ends_with(" mlp");
    if (!text.starts_with("layer ")) {
      chart.places.push_back(text == "embedding" ? "emb" : "norm");
    } else if (is_attention) {
      chart.places.push_back(text.substr(6, text.size() - 16));
    }
    for (ChartSeries& series : chart.series) series.values.resize(chart.places.size());
    if (chart.places.empty()) continue;
    chart.series[is_attention ? 1 : is_mlp ? 2 : 0].values.back() = error;
  }
  return chart;
}

}  // namespace

std::string html_report(const json::object& report) {
  const json::value root = report;
  const ReportLanguage both = ReportLanguage::kBoth;
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>bitcpm report / 报告</title>\n<style>";
  html += kStyle;
  html += "</style>\n</head>\n<body>\n<h1>bitcpm report / 报告</h1>\n";
  const std::string setting = report_setting(report, both);
  for (std::size_t begin = 0; begin < setting.size();) {
    const std::size_t end = std::min(setting.find('\n', begin), setting.size());
    html += "<p class=\"note\">" + html_escaped(setting.substr(begin, end - begin)) + "</p>\n";
    begin = end + 1;
  }
  html += "<h2>Performance / 性能</h2>\n";
  for (const ReportTable& table : report_tables(report, ReportSection::kPerformance, both)) {
    html += table_html(table);
  }
  html += svg_chart(throughput_chart(root)) + svg_chart(latency_chart(root));
  if (report.contains("serve")) html += svg_chart(serve_chart(root));
  html += "<h2>Accuracy / 精度</h2>\n";
  for (const ReportTable& table : report_tables(report, ReportSection::kAccuracy, both)) {
    html += table_html(table);
  }
  html += svg_chart(cosine_chart(root)) + svg_chart(layers_chart(root));
  return html + "</body>\n</html>\n";
}

}  // namespace bitcpm
