#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "model/model.h"

namespace bitcpm {

// One text at a time through a model, whole, without an engine.
class ModelPass {
 public:
  // `longest`: of the texts, in tokens; which of longrope's factors apply follows from it.
  // `kv_cache_dtype`: unset, the backend's default. `model` must outlive this. Errors: kExhausted,
  // kInvalid (more than the model's positions).
  static Result<ModelPass> make(const Model& model, std::size_t longest,
                                std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt);

  const Model& model() const { return *model_; }

  // Runs `ids`, at most `longest` of them. Logits can be had of the rows from `first_row` on.
  void run(std::span<const TokenId> ids, std::size_t first_row, const HiddenObserver* observer);

  // Of the last run; Model::logits, row 0 being `first_row`.
  TensorView logits(std::int32_t first, std::int32_t count) {
    return model_->logits(first, count, workspace_);
  }

 private:
  ModelPass(const Model& model, Workspace workspace)
      : model_(&model), workspace_(std::move(workspace)) {}

  const Model* model_;
  Workspace workspace_;
  std::vector<std::int32_t> blocks_;
  std::vector<std::int32_t> rows_;
  std::unique_ptr<KvCache> cache_;
};

}  // namespace bitcpm
