#include "eval_side.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/checksum.h"
#include "base/quote.h"
#include "commands.h"
#include "console.h"
#include "progress.h"

namespace bitcpm {
namespace {

constexpr std::int64_t kMaxThreads = 1024;

std::optional<KvCacheDtype> find_kv_cache_dtype(std::string_view name) {
  for (const KvCacheDtype dtype :
       {KvCacheDtype::kFloat32, KvCacheDtype::kBfloat16, KvCacheDtype::kInt8}) {
    if (name == kv_cache_dtype_name(dtype)) return dtype;
  }
  return std::nullopt;
}

Status set_key(std::string_view key, const std::string& value, SideSpec& spec) {
  const auto refuse = [&](const char* expected) {
    return Error{Errc::kInvalid, fmt::format("{}={}: expected {}", key, escaped(value), expected)};
  };
  if (key == "model") {
    spec.model.model = value;
  } else if (key == "run") {
    spec.run_file = value;
  } else if (key == "isa") {
    spec.model.isa = value;
  } else if (key == "numerics") {
    if (value != "exact" && value != "fast") return refuse("exact or fast");
    spec.model.numerics = value == "fast" ? Numerics::kFast : Numerics::kExact;
  } else if (key == "kv") {
    spec.model.kv_cache_dtype = find_kv_cache_dtype(value);
    if (!spec.model.kv_cache_dtype && value != "auto") {
      return refuse("auto, float32, bfloat16 or int8");
    }
  } else if (key == "threads") {
    const auto count = parse_count_in(value, 1, kMaxThreads);
    if (!count.ok()) return refuse("1 to 1024");
    spec.model.threads = *count;
  } else {
    return Error{Errc::kInvalid, "unknown key " + quote_name(key) +
                                     "; the keys are model, numerics, isa, kv, threads and run"};
  }
  return {};
}

}  // namespace

const char* const kSideHelp =
    "A and B are a model directory, a file that --save wrote, or key=value pairs:\n"
    "  model=DIR  numerics=exact|fast  isa=LEVEL  kv=auto|float32|bfloat16|int8  threads=N  "
    "run=FILE\n"
    "joined by commas; what is left out is as --model, --numerics, --kv-cache-dtype and --threads "
    "say.";

Result<SideSpec> parse_side(std::string_view text, const ModelOptions& common) {
  SideSpec spec{common, {}};
  const std::string path(text);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    (std::filesystem::is_directory(path, ignored) ? spec.model.model : spec.run_file) = path;
    return spec;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view pair = text.substr(begin, end - begin);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals + 1 == pair.size()) {
      return Error{Errc::kInvalid, quote_name(text) + " is neither a path nor key=value pairs"};
    }
    BITCPM_TRY(set_key(pair.substr(0, equals), std::string(pair.substr(equals + 1)), spec));
    begin = end + 1;
  }
  return spec;
}

Result<EvalSide> EvalSide::open(const SideSpec& spec) {
  EvalSide side;
  if (!spec.run_file.empty()) {
    BITCPM_ASSIGN(side.run_, RunReader::open(spec.run_file));
    side.spec_file_ = spec.run_file;
    return side;
  }
  note_thread_warning(spec.model);
  BITCPM_ASSIGN(side.files_, open_model_files(spec.model));
  ModelFiles& files = *side.files_;
  BITCPM_ASSIGN(const ModelConfig config, naming_model(files, read_model_config(files)));
  BITCPM_ASSIGN(side.backend_, make_backend(spec.model));
  Progress progress("loading");
  const auto show = [&](std::size_t done, std::size_t total, std::string_view tensor) {
    progress.update(done, total, tensor);
  };
  BITCPM_ASSIGN(LoadedModel loaded,
                naming_model(files, load_model(files, config, *side.backend_, show)));
  side.model_ = std::move(loaded.model);
  side.name_ = files.display_name();
  side.numerics_ = numerics_name(spec.model.numerics);
  side.kv_cache_dtype_ =
      spec.model.kv_cache_dtype.value_or(side.backend_->default_kv_cache_dtype());
  return side;
}

Result<Tokenizer> EvalSide::tokenizer() { return naming_model(*files_, load_tokenizer(*files_)); }

RunHeader EvalSide::header() const {
  if (is_run()) return run();
  RunHeader header;
  header.model = name_;
  header.fingerprint = checksum_text(model_->fingerprint());
  header.vocab_size = model_->config().vocab_size;
  header.numerics = numerics_;
  header.kv_cache_dtype = kv_cache_dtype_name(kv_cache_dtype_);
  header.device = backend_->description();
  header.written_by = program_name();
  return header;
}

std::string EvalSide::description() const {
  const RunHeader header = this->header();
  std::string text = fmt::format("{}; numerics {}; {}", visible(header.model),
                                 visible(header.numerics), visible(header.device));
  if (!header.kv_cache_dtype.empty()) {
    text += fmt::format("; {} KV cache", visible(header.kv_cache_dtype));
  }
  if (is_run()) text += fmt::format("; saved in {}", visible(spec_file_));
  return text;
}

json::object EvalSide::description_json() const {
  const RunHeader header = this->header();
  json::object object{{"model", header.model},       {"fingerprint", header.fingerprint},
                      {"numerics", header.numerics}, {"kv_cache_dtype", header.kv_cache_dtype},
                      {"device", header.device},     {"program", header.written_by}};
  if (is_run()) object["run"] = spec_file_;
  return object;
}

Result<LogitsSource*> EvalSide::source(std::size_t longest) {
  if (is_run()) return static_cast<LogitsSource*>(run_.get());
  BITCPM_ASSIGN(source_, make_model_source(*model_, longest, kv_cache_dtype_));
  return source_.get();
}

}  // namespace bitcpm
