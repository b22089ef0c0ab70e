#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/mmap_file.h"
#include "commands.h"
#include "console.h"
#include "eval_runs.h"
#include "new_files.h"
#include "option_values.h"
#include "report_data.h"
#include "report_text.h"
#include "synthetic_options.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMostStreams = 4096;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 20;
constexpr const char* kReferenceShape = "minicpm4-0.5b";

struct ReportCommand {
  ReportOptions measure;
  std::string like;     // "reference", or empty
  std::string from;     // a report.json instead of measuring
  std::string output;   // directory
  std::string section;  // one section of the Markdown on standard output
  std::string language = "en";
};

Result<json::object> read_report(const std::string& path) {
  BITCPM_ASSIGN(const MmapFile file, MmapFile::open(path));
  const auto bytes = file.bytes();
  auto value = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                          {.max_bytes = std::size_t{64} << 20});
  if (!value.ok()) return std::move(value).error().within(path);
  if (auto checked = check_report(*value); !checked.ok()) {
    return std::move(checked).error().within(path);
  }
  return value->as_object();
}

Status write_files(const std::string& directory, const json::object& report) {
  const std::filesystem::path folder(directory);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Error{Errc::kIo, directory + ": " + error.message()};
  BITCPM_TRY(write_text_file(folder / "report.json", pretty_json(report) + "\n"));
  BITCPM_TRY(write_text_file(folder / "report.md", markdown_report(report)));
  return write_text_file(folder / "report.html", html_report(report));
}

Result<ExitCode> run_report(const ReportCommand& command) {
  json::object report;
  if (command.from.empty()) {
    ReportOptions options = command.measure;
    options.like_reference = command.like == "reference";
    // The deployment's model, unless the user has it: its shape is what its speed depends on.
    if (options.like_reference && options.shape.empty() && options.model.model.empty()) {
      options.shape = kReferenceShape;
    }
    BITCPM_ASSIGN(report, measure_report(options));
  } else {
    BITCPM_ASSIGN(report, read_report(command.from));
    if (command.like == "reference") report["reference"] = reference_deployment();
  }
  if (!command.output.empty()) BITCPM_TRY(write_files(command.output, report));
  const ReportLanguage language =
      command.language == "zh" ? ReportLanguage::kChinese : ReportLanguage::kEnglish;
  std::string text;
  if (command.section.empty()) {
    text = markdown_report(report);
  } else {
    text = markdown_section(
        report,
        command.section == "accuracy" ? ReportSection::kAccuracy : ReportSection::kPerformance,
        language);
  }
  BITCPM_TRY(print_all(text));
  return ExitCode::kSuccess;
}

void add_measure_flags(CLI::App& app, ReportOptions& options) {
  add_model_argument(app, options.model);
  add_shape_option(app, "--shape", options.shape,
                   "Time this published shape instead, its weights random");
  add_group_option(app, "--group", options.group);
  add_threads_option(app, options.model);
  add_numerics_option(app, options.model);
  add_kv_cache_dtype_option(app, options.model);
  add_text_options(app, options.text);
  add_count(app, "--input-len", options.input_len, 1, kMostTokens,
            "Prompt tokens of a timed request (default: 6, as in the reference deployment)");
  add_count(app, "--output-len", options.output_len, 2, kMostTokens,
            "Tokens that each request of a batch generates (default: 128)");
  add_count(app, "--latency-output-len", options.latency_output_len, 2, kMostTokens,
            "Tokens that the single request generates (default: 64)");
  add_counts(app, "--batch-size", options.batch, 1, kMostStreams,
             "Requests at once (default: 10,20,50,100)");
  add_count(app, "--num-iters", options.iterations, 1, 1000,
            "Runs of each, whose mean is shown (default: 3)");
  app.add_option("--serve", options.serve_file, "Take in the JSON of a bench serve")
      ->type_name("FILE");
}

}  // namespace

Command make_report_command(CLI::App& root) {
  auto command = std::make_shared<ReportCommand>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("report", "Speed and accuracy as tables, Markdown and HTML");
  app->footer(
      "Prints Markdown; --output writes report.json, report.md and report.html.\nExamples:\n"
      "  bitcpm report --like reference --text wikitext-2-raw-test.jsonl --output report\n"
      "  bitcpm report path/to/BitCPM4-0.5B --numerics fast\n"
      "  bitcpm report --from report/report.json --section accuracy --language zh");
  add_word(*app, "--like", command->like, {"reference"}, {},
           "Beside the figures of the deployment on an Ascend NPU that bitcpm replaces; without a "
           "MODEL the speed is that of its shape, with random weights");
  add_measure_flags(*app, command->measure);
  app->add_option("--from", command->from, "Make it from a report.json, without measuring")
      ->type_name("FILE");
  app->add_option("--output", command->output, "Directory for the files")->type_name("DIR");
  add_word(*app, "--section", command->section, {"performance", "accuracy"}, {},
           "Print this section only");
  add_word(*app, "--language", command->language, {"en", "zh"}, {}, "Of a section (default: en)");
  return {app, [command] { return run_report(*command); },
          [command] { return text_usage_error(command->measure.text); }};
}

}  // namespace bitcpm
