#include "report_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "report_data.h"
#include "svg_chart.h"

namespace bitcpm {
namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

json::object some_report() {
  return json::parse(R"({
    "program": "bitcpm 1", "cpu": "<CPU> & more", "device": "cpu avx2, 2 threads", "threads": 2,
    "numerics": "fast", "date": "2026-01-02 03:04 UTC", "speed_model": "m",
    "load": {"seconds": null, "weight_bytes": 250000000, "kv_capacity_tokens": 123456},
    "latency": {"output_len": 64, "avg_latency": 0.5, "output_tokens_per_second": 128,
                "percentiles": {"10": 0.4, "25": 0.45, "50": 0.5, "75": 0.55, "90": 0.6, "99": 0.7}},
    "throughput": [
      {"num_requests": 10, "output_len": 128, "output_tokens_per_second": 400, "tokens_per_second": 420},
      {"num_requests": 15, "output_len": 128, "output_tokens_per_second": 500, "tokens_per_second": 520}],
    "accuracy": {"model": "m", "text": {"name": "/a/b/wiki.jsonl"}, "positions": 9228,
      "perplexity_a": {"perplexity": 100}, "perplexity_b": {"perplexity": 100.5},
      "perplexity_change": 0.005, "mean_kl": 1.5e-4, "cosine_mean": 0.99997, "cosine_min": 0.9995,
      "mse": 3e-4, "max_abs": 0.2, "same_top1_share": 0.987, "cosine_quantiles": [0.9995, 0.99999, 1],
      "layers": [{"point": "embedding", "cosine_mean": 1, "mse": 0, "relative_error": 0},
                 {"point": "layer 0 attention", "cosine_mean": 1, "mse": 0, "relative_error": 0.01},
                 {"point": "layer 0 mlp", "cosine_mean": 1, "mse": 0, "relative_error": 0.02},
                 {"point": "layer 0", "cosine_mean": 1, "mse": 0, "relative_error": 0.03},
                 {"point": "final norm", "cosine_mean": 1, "mse": 0, "relative_error": 0.04}]}
  })")
      .as_object();
}

// Protects: our figures stand beside the reference's of the same batch, and a batch that it does
// not know has a dash; without a reference there is no such column.
TEST(Report, PutsTheReferenceBeside) {
  json::object report = some_report();
  ASSERT_TRUE(check_report(report).ok());
  const std::string alone =
      markdown_section(report, ReportSection::kPerformance, ReportLanguage::kEnglish);
  EXPECT_NE(alone.find("| 10 | 400.0 | 420.0 |\n"), std::string::npos) << alone;
  EXPECT_EQ(alone.find("reference"), std::string::npos);
  report["reference"] = reference_deployment();
  const std::string both =
      markdown_section(report, ReportSection::kPerformance, ReportLanguage::kEnglish);
  EXPECT_NE(both.find("| 10 | 400.0 | 420.0 | 351.2 | 367.7 |\n"), std::string::npos) << both;
  EXPECT_NE(both.find("| 15 | 500.0 | 520.0 | - | - |\n"), std::string::npos) << both;
  EXPECT_NE(both.find("| mean latency | 0.50 s | 1.75 s |\n"), std::string::npos) << both;
  EXPECT_NE(both.find("| time to load the weights | - | 0.38 s |\n"), std::string::npos) << both;
  const std::string accuracy =
      markdown_section(report, ReportSection::kAccuracy, ReportLanguage::kChinese);
  EXPECT_NE(accuracy.find("| 逐 token MSE | 3.00e-04 | 3.33e-03 |\n"), std::string::npos)
      << accuracy;
  EXPECT_NE(accuracy.find("wiki.jsonl, 9,228"), std::string::npos) << accuracy;
  EXPECT_EQ(accuracy.find("/a/b"), std::string::npos);
}

// Protects: the page needs no network, holds every plot and table, and shows text as text.
TEST(Report, IsOneFileOfHtml) {
  json::object report = some_report();
  report["reference"] = reference_deployment();
  const std::string html = html_report(report);
  for (const char* never : {"http:", "https:", "src=", "<script", "@import", "url("}) {
    EXPECT_EQ(html.find(never), std::string::npos) << never;
  }
  EXPECT_EQ(count(html, "<svg "), 4u);
  EXPECT_EQ(count(html, "<svg "), count(html, "</svg>"));
  EXPECT_EQ(count(html, "<table>"), 4u);
  EXPECT_NE(html.find("&lt;CPU&gt; &amp; more"), std::string::npos);
  report["serve"] = json::object{{"mean_ttft_ms", 3.5}, {"median_ttft_ms", 3}};
  EXPECT_EQ(count(html_report(report), "<svg "), 5u);
}

// Protects: what is no report is refused, by the name of what it lacks.
TEST(Report, RefusesWhatIsNone) {
  for (const char* part : {"program", "latency", "throughput", "load", "accuracy"}) {
    json::object report = some_report();
    report.erase(part);
    const Status checked = check_report(report);
    ASSERT_FALSE(checked.ok()) << part;
    EXPECT_NE(checked.error().message.find(part), std::string::npos) << checked.error().message;
  }
  EXPECT_FALSE(check_report(json::value(3)).ok());
}

// Protects: every value of a chart has its dot, gaps have none, and the ticks enclose them all.
TEST(SvgChart, ShowsEveryValue) {
  Chart chart{.title = "a < b",
              .x_label = "x",
              .y_label = "y",
              .places = {"1", "2", "3"},
              .series = {{"s", "red", {1.0, std::nullopt, 3.0}}, {"t", "blue", {0.0, -1.0, NAN}}}};
  const std::string svg = svg_chart(chart);
  EXPECT_EQ(count(svg, "<circle"), 4u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  chart.is_log = true;
  EXPECT_EQ(count(svg_chart(chart), "<circle"), 2u);  // the positive ones
  chart.series.clear();
  EXPECT_EQ(svg_chart(chart).find("nan"), std::string::npos);
}

TEST(RoundTicks, EncloseTheRange) {
  for (const auto& [low, high] :
       {std::pair{0.0, 1.0}, {351.2, 3052.8}, {-3.0, 7.0}, {1e-7, 2e-7}}) {
    const std::vector<double> ticks = round_ticks(low, high);
    const double rounding = 1e-12 * (high - low);
    EXPECT_LE(ticks.front(), low + rounding);
    EXPECT_GE(ticks.back(), high - rounding);
    EXPECT_GE(ticks.size(), 3u);
    EXPECT_LE(ticks.size(), 9u);
  }
}

}  // namespace
}  // namespace bitcpm
