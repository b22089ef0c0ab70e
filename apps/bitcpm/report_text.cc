#include "report_text.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "console.h"

namespace bitcpm {
namespace {

// A phrase in both languages.
struct Words {
  const char* english;
  const char* chinese;

  std::string in(ReportLanguage language) const {
    if (language == ReportLanguage::kEnglish) return english;
    if (language == ReportLanguage::kChinese) return chinese;
    return fmt::format("{} / {}", english, chinese);
  }
};

std::optional<double> number(const json::value* root, const char* pointer) {
  if (root == nullptr) return std::nullopt;
  boost::system::error_code missing;
  const json::value* found = root->find_pointer(pointer, missing);
  if (found == nullptr || !found->is_number()) return std::nullopt;
  return found->to_number<double>();
}

std::string text(const json::value& root, const char* pointer) {
  boost::system::error_code missing;
  const json::value* found = root.find_pointer(pointer, missing);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "-";
}

std::string shown(std::optional<double> value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : "-";
}

std::string gigabytes(std::optional<double> bytes) {
  return bytes ? human_bytes(static_cast<std::size_t>(*bytes)) : "-";
}

std::string commas(std::optional<double> value) {
  return value ? with_commas(static_cast<std::int64_t>(*value)) : "-";
}

// Builds tables whose last column, the reference's, is there or not.
class Builder {
 public:
  Builder(const json::object& report, ReportLanguage language)
      : report_(report), ours_(&report_), language_(language) {
    if (const json::value* reference = report.if_contains("reference")) theirs_ = reference;
  }

  const json::value* ours() const { return ours_; }
  const json::value* theirs() const { return theirs_; }
  std::string say(const Words& words) const { return words.in(language_); }

  std::vector<std::string> titles(const Words& first) const {
    std::vector<std::string> row = {say(first), "bitcpm"};
    if (theirs_ != nullptr) row.push_back(say({"reference", "参考部署"}));
    return row;
  }
  void add(ReportTable& table, const std::string& what, const std::string& mine,
           const std::string& reference) const {
    std::vector<std::string> row = {what, mine};
    if (theirs_ != nullptr) row.push_back(reference);
    table.rows.push_back(std::move(row));
  }

 private:
  json::value report_;
  const json::value* ours_;
  const json::value* theirs_ = nullptr;
  ReportLanguage language_;
};

ReportTable latency_table(const Builder& b) {
  const auto length = number(b.ours(), "/latency/output_len");
  ReportTable table{b.say({"Latency of one request", "单请求延迟"}), {}, {}};
  table.title += fmt::format(" (output_len={:.0f})", length.value_or(0));
  table.rows.push_back(b.titles({"measure", "指标"}));
  b.add(table, b.say({"mean latency", "平均延迟"}),
        shown(number(b.ours(), "/latency/avg_latency"), "{:.2f} s"),
        shown(number(b.theirs(), "/latency/avg_latency"), "{:.2f} s"));
  b.add(table, b.say({"mean throughput", "平均吞吐"}),
        shown(number(b.ours(), "/latency/output_tokens_per_second"), "{:.1f} tok/s"),
        shown(number(b.theirs(), "/latency/output_tokens_per_second"), "{:.1f} tok/s"));
  return table;
}

ReportTable throughput_table(const Builder& b) {
  const auto length = number(b.ours(), "/throughput/0/output_len");
  ReportTable table{b.say({"Throughput of batches", "批处理吞吐"}), {}, {}};
  table.title += fmt::format(" (output_len={:.0f})", length.value_or(0));
  std::vector<std::string> titles = {b.say({"batch", "Batch Size"}),
                                     b.say({"output tok/s", "输出吞吐 tok/s"}),
                                     b.say({"with input", "总吞吐 (含输入)"})};
  if (b.theirs() != nullptr) {
    titles.push_back(b.say({"reference, output", "参考部署, 输出"}));
    titles.push_back(b.say({"with input", "含输入"}));
  }
  table.rows.push_back(titles);
  const json::array& results = b.ours()->at("throughput").as_array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    const json::value* mine = &results[i];
    const auto batch = number(mine, "/num_requests");
    std::vector<std::string> row = {shown(batch, "{:.0f}"),
                                    shown(number(mine, "/output_tokens_per_second"), "{:.1f}"),
                                    shown(number(mine, "/tokens_per_second"), "{:.1f}")};
    if (b.theirs() != nullptr) {
      const json::value* other = nullptr;
      for (const json::value& entry : b.theirs()->at("throughput").as_array()) {
        if (number(&entry, "/num_requests") == batch) other = &entry;
      }
      row.push_back(shown(number(other, "/output_tokens_per_second"), "{:.1f}"));
      row.push_back(shown(number(other, "/tokens_per_second"), "{:.1f}"));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

ReportTable load_table(const Builder& b) {
  ReportTable table{b.say({"Loading", "模型加载"}), {}, {}};
  table.rows.push_back(b.titles({"measure", "指标"}));
  b.add(table, b.say({"time to load the weights", "权重加载时间"}),
        shown(number(b.ours(), "/load/seconds"), "{:.2f} s"),
        shown(number(b.theirs(), "/load/seconds"), "{:.2f} s"));
  b.add(table, b.say({"memory of the weights", "权重内存占用"}),
        gigabytes(number(b.ours(), "/load/weight_bytes")),
        gigabytes(number(b.theirs(), "/load/weight_bytes")));
  b.add(table, b.say({"KV cache that fits, tokens", "KV Cache 容量 (tokens)"}),
        commas(number(b.ours(), "/load/kv_capacity_tokens")),
        commas(number(b.theirs(), "/load/kv_capacity_tokens")));
  return table;
}

ReportTable serve_table(const Builder& b) {
  ReportTable table{b.say({"Serving over HTTP", "HTTP 服务"}), {}, {}};
  table.rows.push_back({"ms", "mean", "median", "p90", "p99"});
  for (const std::string name : {"ttft", "tpot", "itl", "e2el"}) {
    std::vector<std::string> row = {name};
    for (const char* kind : {"mean", "median", "p90", "p99"}) {
      row.push_back(
          shown(number(b.ours(), fmt::format("/serve/{}_{}_ms", kind, name).c_str()), "{:.2f}"));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string text_name(const json::value& root) {
  const std::string name = text(root, "/accuracy/text/name");
  return name.substr(name.rfind('/') + 1);
}

ReportTable accuracy_table(const Builder& b) {
  const std::string numerics = text(*b.ours(), "/numerics");
  ReportTable table{b.say({"Accuracy", "精度对比"}), {}, {}};
  table.notes.push_back(
      fmt::format("bitcpm: {} {} exact, {}, {}, {} {}", numerics, b.say({"against", "对比"}),
                  text(*b.ours(), "/accuracy/model"), text_name(*b.ours()),
                  commas(number(b.ours(), "/accuracy/positions")), b.say({"tokens", "个 token"})));
  if (b.theirs() != nullptr) {
    table.notes.push_back(fmt::format("{}: {}", b.say({"reference", "参考部署"}),
                                      text(*b.theirs(), "/accuracy/what")));
  }
  table.rows.push_back(b.titles({"measure", "对比项"}));
  const auto add = [&](const Words& what, const char* mine, const char* reference,
                       const char* format, double factor = 1) {
    auto a = number(b.ours(), mine);
    auto c = number(b.theirs(), reference);
    if (a) *a *= factor;
    if (c) *c *= factor;
    b.add(table, b.say(what), shown(a, format), shown(c, format));
  };
  add({"perplexity, baseline", "PPL 基线"}, "/accuracy/perplexity_a/perplexity",
      "/accuracy/perplexity_a", "{:.4f}");
  add({"perplexity", "PPL"}, "/accuracy/perplexity_b/perplexity", "/accuracy/perplexity_b",
      "{:.4f}");
  add({"change of the perplexity", "PPL 差异"}, "/accuracy/perplexity_change",
      "/accuracy/perplexity_change", "{:+.3f} %", 100);
  add({"KL per token, nats", "逐 token KL (nats)"}, "/accuracy/mean_kl", "/accuracy/mean_kl",
      "{:.2e}");
  add({"cosine per token, mean", "逐 token 余弦相似度, 均值"}, "/accuracy/cosine_mean",
      "/accuracy/cosine_mean", "{:.6f}");
  add({"cosine per token, worst", "逐 token 余弦相似度, 最低"}, "/accuracy/cosine_min",
      "/accuracy/cosine_min", "{:.6f}");
  add({"MSE per token", "逐 token MSE"}, "/accuracy/mse", "/accuracy/mse", "{:.2e}");
  add({"largest absolute error", "最大绝对误差"}, "/accuracy/max_abs", "/accuracy/max_abs",
      "{:.3f}");
  add({"same top-1", "top-1 一致"}, "/accuracy/same_top1_share", "/accuracy/same_top1_share",
      "{:.2f} %", 100);
  return table;
}

}  // namespace

std::string report_setting(const json::object& report, ReportLanguage language) {
  const json::value root = report;
  const std::string line = fmt::format(
      "{}, {}; {} ({}); numerics {}; {}", text(root, "/program"), text(root, "/speed_model"),
      text(root, "/cpu"), text(root, "/device"), text(root, "/numerics"), text(root, "/date"));
  const json::value* reference = report.if_contains("reference");
  if (reference == nullptr) return line;
  return line + "\n" + Words{"reference", "参考部署"}.in(language) + ": " +
         text(*reference, "/name") +
         Words{" (figures of its documentation)", " (其文档中的数字)"}.in(language);
}

std::vector<ReportTable> report_tables(const json::object& report, ReportSection section,
                                       ReportLanguage language) {
  const Builder builder(report, language);
  if (section == ReportSection::kAccuracy) return {accuracy_table(builder)};
  std::vector<ReportTable> tables = {latency_table(builder), throughput_table(builder),
                                     load_table(builder)};
  if (report.contains("serve")) tables.push_back(serve_table(builder));
  return tables;
}

std::string markdown_section(const json::object& report, ReportSection section,
                             ReportLanguage language) {
  std::string out;
  if (section == ReportSection::kPerformance) {
    std::string setting = report_setting(report, language);
    const std::size_t line_end = setting.find('\n');
    if (line_end != std::string::npos) setting.insert(line_end, "  ");  // a break, in Markdown
    out += setting + "\n";
  }
  for (const ReportTable& table : report_tables(report, section, language)) {
    out += "\n**" + table.title + "**\n\n";
    for (const std::string& note : table.notes) out += note + "  \n";
    if (!table.notes.empty()) out += "\n";
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
      std::string line = "|";
      for (const std::string& cell : table.rows[r]) line += " " + cell + " |";
      out += line + "\n";
      if (r > 0) continue;
      out += "|";
      for (std::size_t c = 0; c < table.rows[r].size(); ++c) out += c == 0 ? "---|" : "---:|";
      out += "\n";
    }
  }
  return out.substr(out.find_first_not_of('\n'));
}

std::string markdown_report(const json::object& report) {
  const ReportLanguage both = ReportLanguage::kBoth;
  std::string out = "# bitcpm report / 报告\n\n" +
                    markdown_section(report, ReportSection::kPerformance, both) + "\n" +
                    markdown_section(report, ReportSection::kAccuracy, both);
  out +=
      "\n**Error per layer / 逐层误差**\n\n| point | cosine mean | MSE | relative error |\n"
      "|---|---:|---:|---:|\n";
  const json::value root = report;
  for (const json::value& point : root.at("accuracy").at("layers").as_array()) {
    out += fmt::format("| {} | {} | {} | {} |\n", text(point, "/point"),
                       shown(number(&point, "/cosine_mean"), "{:.7f}"),
                       shown(number(&point, "/mse"), "{:.2e}"),
                       shown(number(&point, "/relative_error"), "{:.2e}"));
  }
  return out;
}

}  // namespace bitcpm
