#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/function_ref.h"
#include "base/result.h"
#include "measure/eval_texts.h"
#include "model/model.h"

namespace bitcpm {

// Where the logits of some windows come from: a model that computes them, or a file that kept them.
// The windows are read in order, each once.
class LogitsSource {
 public:
  virtual ~LogitsSource() = default;

  virtual std::int32_t vocab_size() const = 0;

  // Moves to the next window. `window` is the one to compute; a file has its own, equal to it.
  // Errors: kExhausted, kCorrupt, kIo.
  virtual Status begin(const EvalWindow& window) = 0;

  // Logits of `count` of the window's rows, the first being row `first` of EvalWindow::rows();
  // asked for in order without gaps. count <= Model::kMaxLogitsRows. -> [count, vocab], valid until
  // the next call.
  virtual Result<TensorView> rows(std::int32_t first, std::int32_t count) = 0;
};

// A model on its backend; both must outlive the source. Errors: kExhausted, kInvalid (`longest`
// exceeds the model's positions).
Result<std::unique_ptr<LogitsSource>> make_model_source(
    const Model& model, std::size_t longest,
    std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt);

// Called with the rows done so far.
using RowProgress = FunctionRef<void(std::size_t rows)>;

}  // namespace bitcpm
