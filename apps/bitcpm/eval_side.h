#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "io/model_files.h"
#include "measure/logits_source.h"
#include "measure/saved_run.h"
#include "model/loader.h"
#include "model_setup.h"
#include "text/tokenizer.h"

namespace bitcpm {

// One side of a comparison, as the command line names it.
struct SideSpec {
  ModelOptions model;
  std::string run_file;  // a saved run instead of a model
};

// "DIR", "FILE" or "key=value,…" with the keys model, numerics, isa, kv, threads and run; what it
// leaves out is as in `common`. An existing path is taken as it stands, commas and all. Errors:
// kInvalid, naming key and value.
Result<SideSpec> parse_side(std::string_view text, const ModelOptions& common);

// What --help says of it.
extern const char* const kSideHelp;

// A model that is loaded, or a saved run that is open.
class EvalSide {
 public:
  // With a progress bar. Errors: of whatever fails, naming directory or file.
  static Result<EvalSide> open(const SideSpec& spec);

  bool is_run() const { return run_ != nullptr; }
  const RunHeader& run() const { return run_->header(); }  // is_run()
  const Model& model() const { return *model_; }           // else, as the next two
  KvCacheDtype kv_cache_dtype() const { return kv_cache_dtype_; }
  Result<Tokenizer> tokenizer();

  // What a run of this side says of itself, without texts.
  RunHeader header() const;
  // "bitcpm-tiny; numerics fast; cpu avx512vnni, 2 threads", and the same in parts.
  std::string description() const;
  json::object description_json() const;

  // Its logits of windows no longer than `longest`. Lives as long as this side.
  Result<LogitsSource*> source(std::size_t longest);

 private:
  EvalSide() = default;

  std::string name_;
  std::string numerics_;
  KvCacheDtype kv_cache_dtype_ = KvCacheDtype::kFloat32;
  std::string spec_file_;             // of a run
  std::optional<ModelFiles> files_;   // of a model
  std::unique_ptr<Backend> backend_;  // before the model, which refers to it
  std::unique_ptr<Model> model_;
  std::unique_ptr<LogitsSource> source_;  // of the model
  std::unique_ptr<RunReader> run_;
};

}  // namespace bitcpm
